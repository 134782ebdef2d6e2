//! Why a model was not published.

use crate::domain::digest::Digest;
use std::error::Error;

/// Why a model was not published. Each names the request or the value, and the way out where there is one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MlflowError {
    /// An `https://` address.
    #[error(
        "{url} needs TLS, which Gleaner does not speak: let a proxy on this machine speak it (`ssh -L`, stunnel, nginx) \
         and name the proxy, http://127.0.0.1:PORT"
    )]
    Tls {
        /// What was given.
        url: String,
    },
    /// Not an address that can be used.
    #[error(
        "{url:?} is no address of an MLflow server: {why}; one looks like http://127.0.0.1:5000"
    )]
    Address {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is not the model that the log knows.
    #[error(
        "the model's file has the digest {found} instead of {expected}: it is damaged, and nothing was published; \
         `gleaner repair --copy DIR` takes a whole one from a copy"
    )]
    Damaged {
        /// The model.
        expected: Digest,
        /// What the file holds.
        found: Digest,
    },
    /// Nobody answered, or not in time.
    #[error(
        "{request} got no answer ({seconds} s is the limit): is an MLflow server running there?"
    )]
    Unanswered {
        /// Method and address.
        request: String,
        /// The limit.
        seconds: u64,
        /// What went wrong.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The server said no.
    #[error("{request} was answered {status}: {message}")]
    Refused {
        /// Method and address.
        request: String,
        /// The HTTP status.
        status: u16,
        /// MLflow's `error_code`, or nothing.
        code: String,
        /// MLflow's code and message, or how the answer begins.
        message: String,
    },
    /// The server said something that MLflow would not say.
    #[error("{request} was answered by something else than MLflow: {what}")]
    Foreign {
        /// Method and address.
        request: String,
        /// What is wrong with the answer.
        what: String,
    },
    /// The server does not take artifacts.
    #[error(
        "the experiment {experiment:?} keeps its artifacts at {uri:?}, where Gleaner cannot put any: start the server with \
         --serve-artifacts and without --default-artifact-root; an experiment keeps the place that it was made with, so \
         rename this one"
    )]
    NotServed {
        /// The experiment.
        experiment: String,
        /// Where its runs keep artifacts.
        uri: String,
    },
}

impl MlflowError {
    /// Whether the caller gave something that cannot be used, rather than a server failing.
    #[must_use]
    pub const fn is_wrong_usage(&self) -> bool {
        match self {
            Self::Tls { .. } | Self::Address { .. } => true,
            Self::Damaged { .. }
            | Self::Unanswered { .. }
            | Self::Refused { .. }
            | Self::Foreign { .. }
            | Self::NotServed { .. } => false,
        }
    }

    /// Whether the server refused for this reason, one of MLflow's error codes.
    pub(super) fn says(&self, reason: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == reason)
    }
}
