//! The split: which samples train, which choose checkpoints, and which measure.

use super::PoolError;
use super::ids::Ids;
use super::labels::Labels;
use crate::domain::chance::Chance;
use crate::domain::definition::PoolSpec;
use crate::domain::ids::CycleNumber;
use crate::domain::rows::Runs;

/// Rows of a pool. No row is in two parts; copies of other samples are in none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Split {
    /// What may be labelled and trained on.
    pub train: Runs,
    /// What chooses among checkpoints, ascending; every row has a known label.
    pub validation: Vec<usize>,
    /// What measures, ascending; every row has a known label.
    pub test: Vec<usize>,
}

/// Splits `rows` class by class, so that each part has the shares of classes that the whole has.
///
/// A part's size is `fraction * n` rounded up, of `n` samples with a known label; the classes share it by largest
/// remainders (ties: the lower class), at least one each; labels that are no classes are shared as if they were all of
/// one. Which samples of a class go where derives from the pool's seed
/// and the samples' ids alone, so adding a sample moves few others. Samples without a known label train.
pub(super) fn stratified(
    spec: &PoolSpec,
    file: &str,
    rows: &Runs,
    ids: &Ids,
    labels: &Labels,
    classes: &[String],
) -> Result<Split, PoolError> {
    if spec.test <= 0.0 && spec.validation <= 0.0 {
        return Ok(Split { train: rows.clone(), ..Split::default() });
    }
    let chance = Chance { seed: spec.seed, cycle: CycleNumber(0), purpose: "split" };
    // Rows are in the order of ids, so a tie goes to the lower id.
    let of_one = ["the labelled ones".to_owned()];
    let (classes, is_class) = match labels {
        Labels::Classes(_) => (classes, true),
        Labels::Numbers(_) => (of_one.as_slice(), false),
    };
    let mut members: Vec<Vec<(u64, usize)>> = vec![vec![]; classes.len()];
    let mut split = Split::default();
    for row in rows.iter() {
        let class = if is_class { labels.get(row) } else { labels.knows(row).then_some(0) };
        let class = class.and_then(|class| members.get_mut(usize::try_from(class).ok()?));
        if let Some(class) = class {
            class.push((chance.draw(&ids.get(row)), row));
        }
    }
    let (test, validation) = (spec.test > 0.0, spec.validation > 0.0);
    let needed = 1 + usize::from(test) + usize::from(validation);
    for (class, members) in classes.iter().zip(&members) {
        if !members.is_empty() && members.len() < needed {
            return Err(PoolError::TooFewSamples {
                file: file.to_owned(),
                class: class.clone(),
                samples: members.len(),
                needed,
            });
        }
    }
    let sizes: Vec<usize> = members.iter().map(Vec::len).collect();
    // Each part leaves one sample for each part that comes after it.
    let tests = shares(&sizes, spec.test, 1 + usize::from(validation));
    let left: Vec<usize> = sizes.iter().zip(&tests).map(|(size, test)| size - test).collect();
    let whole: usize = sizes.iter().sum();
    let validations = shares_of(&left, part_size(whole, spec.validation), 1);
    for ((mut members, test), validation) in members.into_iter().zip(tests).zip(validations) {
        members.sort_unstable();
        let mut rows = members.into_iter().map(|(_, row)| row);
        split.test.extend(rows.by_ref().take(test));
        split.validation.extend(rows.by_ref().take(validation));
    }
    for part in [&mut split.validation, &mut split.test] {
        part.sort_unstable();
    }
    let mut held_out = [split.validation.as_slice(), &split.test].concat();
    held_out.sort_unstable();
    split.train = minus(rows, held_out);
    Ok(split)
}

/// `rows` less those of `without`, which ascend.
pub(super) fn minus(rows: &Runs, without: impl IntoIterator<Item = usize>) -> Runs {
    let mut without = without.into_iter().peekable();
    let mut left = Runs::default();
    for row in rows.iter() {
        while without.next_if(|&gone| gone < row).is_some() {}
        if without.next_if_eq(&row).is_none() {
            left.push(row..row + 1);
        }
    }
    left
}

/// `fraction` of `n`, rounded up as scikit-learn's `train_test_split` does.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share in [0, 1) of a count of samples"
)]
fn part_size(n: usize, fraction: f64) -> usize {
    // 0.1 * 30 is a hair above 3 and means 3.
    ((n as f64 * fraction - 1e-9).ceil().max(0.0) as usize).min(n)
}

fn shares(sizes: &[usize], fraction: f64, reserve: usize) -> Vec<usize> {
    shares_of(sizes, part_size(sizes.iter().sum(), fraction), reserve)
}

/// How many of each class make up `total`, by largest remainders. Each class gives at least one (if `total` is not 0)
/// and keeps at least `reserve`.
fn shares_of(sizes: &[usize], total: usize, reserve: usize) -> Vec<usize> {
    let whole = sizes.iter().sum::<usize>() as u128;
    if total == 0 || whole == 0 {
        return vec![0; sizes.len()];
    }
    // In whole numbers, so that no rounding decides who gets a sample.
    let quota =
        |size: usize| (size as u128 * total as u128 / whole, size as u128 * total as u128 % whole);
    let clamp = |share: usize, size: usize| {
        if size == 0 { 0 } else { share.clamp(1, size.saturating_sub(reserve).max(1)) }
    };
    let mut shares: Vec<usize> = sizes
        .iter()
        .map(|&size| clamp(usize::try_from(quota(size).0).unwrap_or(size), size))
        .collect();
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&class| {
        (std::cmp::Reverse(sizes.get(class).map(|&size| quota(size).1)), class)
    });
    let mut missing = total.saturating_sub(shares.iter().sum());
    for class in order {
        let (Some(share), Some(&size)) = (shares.get_mut(class), sizes.get(class)) else {
            continue;
        };
        if missing > 0 && clamp(*share + 1, size) > *share {
            *share += 1;
            missing -= 1;
        }
    }
    shares
}
