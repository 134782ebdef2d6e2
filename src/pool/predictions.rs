//! Predictions that somebody made elsewhere: class probabilities for every sample of a pool.

use super::PoolError;
use super::ids::Ids;
use super::npy::Npy;
use super::source::Source as _;
use std::path::Path;

/// How far the probabilities of a sample may be from 1 together: 16-bit numbers of many classes are that inexact.
const SUM_TOLERANCE: f64 = 0.01;

/// Opens and checks the predictions for the samples of a pool: a row for each row of the pool's file, in its order.
pub(super) fn open(
    path: &Path,
    classes: usize,
    rows_in_file: usize,
    ids: &Ids,
    order: Option<&[usize]>,
) -> Result<Npy, PoolError> {
    let name = path.display();
    let mut npy = Npy::open(path, 1.0)?;
    if npy.rows != rows_in_file {
        let found = npy.rows;
        return Err(PoolError::bad(
            name,
            format!(
                "predictions for {found} samples, but the pool has {rows_in_file}; `pool.predictions` needs one row for each"
            ),
        ));
    }
    if npy.shape != [classes] {
        let shape = &npy.shape;
        return Err(PoolError::bad(
            name,
            format!(
                "rows of the shape {shape:?}, but there are {classes} classes; `pool.predictions` needs a probability for each class"
            ),
        ));
    }
    let check = |row: &[f32]| {
        let sum: f64 = row.iter().map(|&p| f64::from(p)).sum();
        let whole =
            row.iter().all(|p| (0.0..=1.0).contains(p)) && (sum - 1.0).abs() <= SUM_TOLERANCE;
        (!whole).then(|| {
            format!("no probabilities: each must be from 0 to 1, and all of them 1 together (they are {sum})")
        })
    };
    npy.inspect(check, |row, what| {
        Err(PoolError::bad(format!("{name}: row {row}, counted from 0"), what))
    })?;
    match (order, ids) {
        (Some(order), _) => npy.reorder(order),
        (None, Ids::Generated { numbers, .. }) => npy.keep(numbers.clone()),
        (None, Ids::Listed(_)) => {}
    }
    Ok(npy)
}
