//! Annotators: who says what a sample is. One file per kind. Beside them, how good what they said is.
//!
//! An annotator answers with labels; it does not decide which samples are asked, and it does not keep what it said.
//!
//! | part | what it does |
//! |---|---|
//! | `oracle` | a labelled data set plays the annotator |
//! | [`votes`] | who said which class of which sample, checked and in order |
//! | [`agreement`] | how far annotators agree: Cohen's kappa for two, Fleiss' for several |
//! | [`majority`] | consensus where every vote weighs the same |
//! | [`dawid_skene`] | consensus by how reliable each annotator proves to be |
//! | [`suspicious`] | labels that a model has reason to doubt (confident learning) |
//! | [`square`] | a table of classes by classes, which some of these answer with |
//! | [`error`] | why label quality could not be worked out |
//!
//! The label quality parts are pure functions: classes are numbers from 0, samples and annotators go by name, and the order
//! in which anything is given changes no bit of a result. Regression and segmentation have no classes to count: they are not
//! for these.

pub mod agreement;
pub mod dawid_skene;
pub mod error;
pub mod majority;
mod oracle;
pub mod square;
pub mod suspicious;
pub mod votes;

pub use oracle::{AnnotationError, oracle};
