//! The score artifact: what a batch was picked from, so that the pick can be derived again.
//!
//! CSV with a header `sample,score,p0,p1,...`: one line a candidate in the order of sample ids, the strategy's score and the
//! class probabilities. Numbers are written in their shortest form
//! that reads back to the same bits.

use crate::domain::ids::SampleId;
use crate::domain::matrix::Matrix;
use std::fmt::Write as _;

/// Writes the table. Row `i` of `probabilities` and score `i` belong to candidate `i`.
#[must_use]
pub fn encode(candidates: &[SampleId], probabilities: &Matrix, scores: &[f64]) -> Vec<u8> {
    let mut text = String::from("sample,score");
    for class in 0..probabilities.cols() {
        let _ = write!(text, ",p{class}"); // a String takes everything
    }
    text.push('\n');
    for ((sample, row), score) in candidates.iter().zip(probabilities.iter_rows()).zip(scores) {
        push_field(&mut text, sample.as_str());
        let _ = write!(text, ",{score}");
        for probability in row {
            let _ = write!(text, ",{probability}");
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Quotes a field where CSV needs it (RFC 4180).
fn push_field(text: &mut String, field: &str) {
    if field.contains([',', '"', '\n', '\r']) {
        text.push('"');
        text.push_str(&field.replace('"', "\"\""));
        text.push('"');
    } else {
        text.push_str(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_as_csv() {
        let candidates = [SampleId::from("a"), SampleId::from("b,\"c\"")];
        let probabilities = Matrix::new(2, 2, vec![0.1, 0.9, 0.5, 0.5]).unwrap();
        let bytes = encode(&candidates, &probabilities, &[0.25, 0.5]);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, "sample,score,p0,p1\na,0.25,0.1,0.9\n\"b,\"\"c\"\"\",0.5,0.5,0.5\n");
    }
}
