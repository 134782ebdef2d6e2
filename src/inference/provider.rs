//! What really ran a model, and why nothing faster did.
//!
//! A report is made once, when a model is loaded. Its text goes into the event log, so it holds no paths and no times.

use crate::domain::definition::ProviderChoice;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// Who runs a loaded model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ProviderReport {
    /// What was asked for.
    pub requested: ProviderChoice,
    /// The provider that runs the most nodes, for example `CPUExecutionProvider`.
    pub used: String,
    /// The runtime's name, `onnxruntime` or `tract`.
    pub runtime: &'static str,
    /// The runtime's version, for example `1.24.4`.
    pub version: String,
    /// The runtime's library file; `None` if it is part of this program.
    pub path: Option<PathBuf>,
    /// How many nodes of the model each provider runs. Empty if the runtime does not tell.
    pub nodes: BTreeMap<String, usize>,
    /// Why a faster provider is not used, one line each.
    pub not_used: Vec<String>,
}

impl ProviderReport {
    /// Whether something else than the processor runs nodes of the model.
    #[must_use]
    pub fn on_device(&self) -> bool {
        self.nodes.keys().any(|name| name != "CPUExecutionProvider")
    }
}

/// One line, the same for every load on one machine: `CPUExecutionProvider (onnxruntime 1.24.4)`, or, where a model is
/// split, `CUDAExecutionProvider 12 nodes, CPUExecutionProvider 3 nodes (onnxruntime 1.24.4)`.
impl fmt::Display for ProviderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes.len() > 1 {
            let mut parts: Vec<_> = self.nodes.iter().collect();
            parts.sort_by_key(|&(name, &count)| (std::cmp::Reverse(count), name));
            for (place, (name, count)) in parts.into_iter().enumerate() {
                let comma = if place == 0 { "" } else { ", " };
                write!(f, "{comma}{name} {count} node{}", if *count == 1 { "" } else { "s" })?;
            }
        } else {
            f.write_str(&self.used)?;
        }
        write!(f, " ({} {})", self.runtime, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_model_names_every_provider_by_its_share() {
        let mut report = ProviderReport {
            requested: ProviderChoice::Auto,
            used: "CUDAExecutionProvider".into(),
            runtime: "onnxruntime",
            version: "1.24.4".into(),
            path: Some("/somewhere/libonnxruntime.so".into()),
            nodes: BTreeMap::from([("CUDAExecutionProvider".into(), 12)]),
            not_used: vec![],
        };
        assert_eq!(report.to_string(), "CUDAExecutionProvider (onnxruntime 1.24.4)");
        report.nodes.insert("CPUExecutionProvider".into(), 1);
        assert_eq!(
            report.to_string(),
            "CUDAExecutionProvider 12 nodes, CPUExecutionProvider 1 node (onnxruntime 1.24.4)"
        );
    }
}
