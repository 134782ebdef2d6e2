//! Broken promises, as they are found.

/// More than this are counted, not kept.
const KEPT_MAX: usize = 100;

/// What should not have happened.
#[derive(Debug, Default, Clone)]
pub(super) struct Violations {
    /// Where the tests are now, for the texts.
    pub(super) at: String,
    /// How many there were.
    pub(super) count: u64,
    /// The first of them.
    pub(super) texts: Vec<String>,
}

impl Violations {
    /// Notes one.
    pub(super) fn add(&mut self, text: String) {
        self.count += 1;
        if self.texts.len() < KEPT_MAX {
            self.texts.push(format!("{}: {text}", self.at));
        }
    }
}
