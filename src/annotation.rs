//! Annotators: who says what a sample is. One file per kind. Beside them, how good what they said is.
//!
//! An annotator answers with labels; it does not decide which samples are asked, and it does not keep what it said.
//!
//! | part | what it does |
//! |---|---|
//! | `oracle` | a labelled data set plays the annotator |
//! | [`played`] | annotators that the oracle plays, who make mistakes |
//! | [`votes`] | who said which class of which sample, checked and in order |
//! | [`agreement`] | how far annotators agree: Cohen's kappa for two, Fleiss' for several |
//! | [`majority`] | consensus where every vote weighs the same |
//! | [`dawid_skene`] | consensus by how reliable each annotator proves to be |
//! | [`consensus`] | one label out of several answers, by the rule that a workflow names |
//! | [`suspicious`] | labels that a model has reason to doubt (confident learning) |
//! | [`relabel`] | what to ask again, the most probably wrong first, within a budget |
//! | [`square`] | a table of classes by classes, which some of these answer with |
//! | [`error`] | why label quality could not be worked out |
//!
//! The label quality parts are pure functions: classes are numbers from 0, samples and annotators go by name, and the order
//! in which anything is given changes no bit of a result. Regression and segmentation have no classes to count: they are not
//! for these.
//!
//! ```
//! use gleaner::annotation::dawid_skene::{Settings, dawid_skene};
//! use gleaner::annotation::relabel::{relabel, suspected, unsure};
//! use gleaner::annotation::suspicious::confident;
//! use gleaner::annotation::votes::{Vote, Votes};
//! use gleaner::domain::{ids::SampleId, matrix::Matrix};
//!
//! let (cat, dog) = (SampleId::from("cat-1"), SampleId::from("dog-1"));
//! let vote = |sample, annotator, class| Vote { sample, annotator, class };
//! let said = [vote(&cat, "ada", 0), vote(&cat, "bob", 0), vote(&dog, "ada", 1), vote(&dog, "bob", 0)];
//!
//! // Who is to be believed, and of what.
//! let consensus = dawid_skene(&Votes::new(said, 2)?, Settings::default())?;
//! let labels: Vec<_> = consensus.samples.iter().map(|of| (of.sample, of.class)).collect();
//! // What a model makes of the same samples; it must not have trained on them.
//! let predicted = Matrix::new(2, 2, vec![0.9, 0.1, 0.2, 0.8]).expect("two rows of two");
//! let noise = confident(&labels, &predicted)?;
//! // One more look, at what is most probably wrong.
//! let again = relabel(unsure(&consensus, 0.9).chain(suspected(&noise)), 1)?;
//! assert_eq!(again[0].sample, &dog);
//! # Ok::<(), gleaner::annotation::error::QualityError>(())
//! ```

pub mod agreement;
pub mod consensus;
pub mod dawid_skene;
pub mod error;
pub mod majority;
mod oracle;
pub mod played;
pub mod relabel;
pub mod square;
pub mod suspicious;
pub mod votes;

pub use oracle::{AnnotationError, oracle};
