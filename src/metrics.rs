//! Measures of a model: values in, numbers out, each with its source.
//!
//! Knows neither models nor where samples come from, only answers and labels. It does not decide whether a number is
//! good enough: that is [`crate::domain::kpi`]. Which metrics there are stands in [`crate::domain::metric`].
//!
//! | question | file |
//! |---|---|
//! | how good is a model, by any metric, and how sure is that? | [`measure()`] |
//! | how good is it for each class? | [`by_class()`] |
//! | is one model really better than another? | [`paired`] |
//! | how good is it, judged by samples that were not chosen evenly? | [`lure`] |
//! | how many labels does a quality take? | [`learning_curve`] |
//! | do two models, or two people, say the same? | [`agreement`] |
//! | are later samples other than those before? | [`drift`] |
//! | what do a model's scores mean? | `answers` |
//! | which class wins, what are logits as probabilities? | `classification` |
//! | what is the interval of a share? | `interval`, `quantile` |
//! | what would it have been on other samples? | `bootstrap` |
//!
//! Same values, same numbers, bit for bit, on every machine: sums run in the order of the samples, chance comes from
//! [`crate::domain::chance`], and logarithms from `libm`.

pub mod agreement;
mod answers;
mod bootstrap;
mod by_class;
mod classification;
pub mod drift;
mod interval;
pub mod learning_curve;
pub mod lure;
mod measure;
pub mod paired;
mod quantile;
mod statistic;

pub use answers::meaning;
pub use by_class::{ClassMeasured, by_class};
pub use classification::{accuracy, argmax, log_loss, share, sigmoid, softmax};
pub use interval::wilson;
pub use measure::{Measured, MetricError, Settings, measure, value};
pub use quantile::normal_quantile;
