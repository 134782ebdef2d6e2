//! Named columns of values: what a pool knows beside features, and what a query may ask about.

/// A table; every column has a value, or none, for each row.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// How many rows there are.
    pub rows: usize,
    /// The columns by their names, which differ.
    pub columns: Vec<(String, Column)>,
}

/// The values of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Texts.
    Text(Vec<Option<Box<str>>>),
    /// Numbers.
    Number(Vec<Option<f64>>),
    /// Whole numbers.
    Whole(Vec<Option<i64>>),
}

impl Table {
    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|(known, _)| known == name).map(|(_, column)| column)
    }
}
