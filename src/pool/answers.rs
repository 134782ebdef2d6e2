//! What each annotator says of a sample, by the columns of `annotator.columns`.
//!
//! Answers are no part of a pool's version: a cell may be filled in, or corrected, while a run goes on, and counts from the
//! next time somebody is asked. What was answered is in the run's log.

use super::Pool;
use super::error::PoolError;
use crate::domain::table::Column;

impl Pool {
    /// Who says which class of the sample at `row`, in the order of the columns; those who say nothing are left out.
    ///
    /// # Errors
    /// [`PoolError::Answer`] for a cell that names no class.
    pub fn answers(&self, row: usize) -> Result<Vec<(&str, u32)>, PoolError> {
        let mut said = Vec::new();
        for (annotator, column) in &self.answers.columns {
            let Some(cell) = cell(column, row) else { continue };
            match self.class_of(column, &cell) {
                Some(class) => said.push((annotator.as_str(), class)),
                None => {
                    return Err(PoolError::Answer {
                        file: self.file.clone(),
                        sample: self.id(row).into_owned(),
                        annotator: annotator.clone(),
                        said: cell,
                        classes: self.classes.clone(),
                    });
                }
            }
        }
        Ok(said)
    }

    /// The class of this name. A column of numbers was read as such: 7 is the class "7", and "07".
    fn class_of(&self, column: &Column, cell: &str) -> Option<u32> {
        let same = |class: &String| match column {
            Column::Text(_) => class == cell,
            Column::Whole(_) | Column::Number(_) => class
                .parse::<f64>()
                .ok()
                .zip(cell.parse::<f64>().ok())
                .is_some_and(|(class, cell): (f64, f64)| class.total_cmp(&cell).is_eq()),
        };
        u32::try_from(self.classes.iter().position(same)?).ok()
    }
}

fn cell(column: &Column, row: usize) -> Option<String> {
    match column {
        Column::Text(cells) => cells.get(row)?.as_deref().map(str::to_owned),
        Column::Whole(cells) => cells.get(row)?.map(|number| number.to_string()),
        Column::Number(cells) => cells.get(row)?.map(|number| number.to_string()),
    }
}
