//! ONNX models run by tract, in pure Rust. The only file that names `tract_onnx`.
//!
//! For machines without Python and without onnxruntime. Slower, and it lacks some operators; on malformed models it
//! panics now and then, so every way in is guarded.

use super::contract::{Contract, Port};
use super::error::InferenceError;
use super::provider::ProviderReport;
use super::{LoadOptions, Output, Predictions, Predictor};
use crate::domain::definition::ProviderChoice;
use crate::domain::matrix::Matrix;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid as _;
use tract_onnx::tract_hir::internal::DimLike as _;

/// A model made ready for batches of one size: with an open batch axis, tract is half as fast or fails.
type Plan = Arc<TypedRunnableModel>;

/// A loaded model.
struct TractPredictor {
    graph: InferenceModel,
    model: PathBuf,
    contract: Contract,
    report: ProviderReport,
    batch: usize,
    /// The plans for the batch sizes met last: the full one and the rest.
    plans: Vec<(usize, Plan)>,
}

/// Loads a model.
pub(super) fn load(options: &LoadOptions<'_>) -> Result<Box<dyn Predictor>, InferenceError> {
    let why = match options.runtime {
        Some(_) => "the workflow asks for tract",
        None => "no onnxruntime library was found",
    };
    let wanted = match options.provider {
        ProviderChoice::Cuda => Some("CUDAExecutionProvider"),
        ProviderChoice::Tensorrt => Some("TensorrtExecutionProvider"),
        ProviderChoice::Auto | ProviderChoice::Cpu => None,
    };
    if let Some(wanted) = wanted {
        let reason = format!("{why}, and tract runs models on the processor only");
        return Err(InferenceError::Provider { wanted, reason });
    }
    let broken = |reason| InferenceError::Model { path: options.model.to_owned(), reason };
    let graph = guarded(|| onnx().model_for_path(options.model)).map_err(broken)?;
    let (inputs, outputs) = guarded(|| ports(&graph)).map_err(broken)?;
    let contract = Contract::agree(&inputs, &outputs, options)?;
    let report = ProviderReport {
        requested: options.provider,
        used: "tract".into(),
        runtime: "tract",
        version: VERSION.into(),
        path: None,
        nodes: BTreeMap::new(),
        not_used: vec![format!("onnxruntime: {why}")],
    };
    let mut predictor = TractPredictor {
        graph,
        model: options.model.to_owned(),
        contract,
        report,
        batch: options.batch,
        plans: Vec::new(),
    };
    // Only making a plan shows whether tract has all the operators.
    predictor.plan(1).map_err(broken)?;
    Ok(Box::new(predictor))
}

/// The version that `Cargo.toml` asks for.
const VERSION: &str = "0.23";

/// What a model gives.
pub(super) fn outputs(model: &Path) -> Result<Vec<Output>, InferenceError> {
    let broken = |reason| InferenceError::Model { path: model.to_owned(), reason };
    let (_, outputs) = guarded(|| ports(&onnx().model_for_path(model)?)).map_err(broken)?;
    Ok(outputs.iter().map(Port::told).collect())
}

fn ports(graph: &InferenceModel) -> TractResult<(Vec<Port>, Vec<Port>)> {
    let describe = |outlet: &OutletId| {
        let fact = graph.outlet_fact(*outlet)?;
        let name = graph
            .outlet_label(*outlet)
            .map_or_else(|| graph.node(outlet.node).name.clone(), str::to_owned);
        let element = fact.datum_type.concretize();
        let other_element =
            element.filter(|ty| *ty != f32::datum_type()).map(|ty| format!("{ty:?}"));
        let dims = if fact.shape.is_open() {
            None
        } else {
            let dims = fact.shape.dims().map(|dim| dim.concretize()?.to_usize().ok());
            Some(dims.collect::<Vec<_>>())
        };
        TractResult::Ok(Port { name, other_element, dims })
    };
    let inputs = graph.input_outlets()?.iter().map(describe).collect::<TractResult<_>>()?;
    let outputs = graph.output_outlets()?.iter().map(describe).collect::<TractResult<_>>()?;
    Ok((inputs, outputs))
}

impl TractPredictor {
    /// The plan for batches of `rows`.
    fn plan(&mut self, rows: usize) -> Result<Plan, String> {
        if let Some((_, plan)) = self.plans.iter().find(|(size, _)| *size == rows) {
            return Ok(Arc::clone(plan));
        }
        let shape = self.contract.batch_shape(rows);
        let plan = guarded(|| {
            let graph = self.graph.clone();
            let graph = graph.with_input_fact(0, f32::fact(&shape).into())?;
            graph.into_optimized()?.into_runnable()
        })?;
        if self.plans.len() >= 2 {
            self.plans.remove(0);
        }
        self.plans.push((rows, Arc::clone(&plan)));
        Ok(plan)
    }

    fn run(&mut self, rows: usize, values: &[f32]) -> Result<TVec<TValue>, String> {
        let plan = self.plan(rows)?;
        let shape = self.contract.batch_shape(rows);
        guarded(|| plan.run(tvec!(Tensor::from_shape(&shape, values)?.into_tvalue())))
    }
}

impl Predictor for TractPredictor {
    fn provider(&self) -> &ProviderReport {
        &self.report
    }

    fn outputs(&self) -> &[Output] {
        &self.contract.outputs
    }

    fn predict(&mut self, inputs: &Matrix) -> Result<Predictions, InferenceError> {
        self.predict_values(inputs.rows(), inputs.data(), self.batch)
    }

    fn predict_values(
        &mut self,
        rows: usize,
        values: &[f32],
        batch: usize,
    ) -> Result<Predictions, InferenceError> {
        let (contract, model) = (self.contract.clone(), self.model.clone());
        let mut collector = contract.collect(&model, rows, values)?;
        for (rows, values) in contract.batches(values, batch) {
            let failed = |reason| InferenceError::Run { first: rows.start, end: rows.end, reason };
            let outputs = self.run(rows.len(), values).map_err(failed)?;
            for (place, wanted) in contract.wanted.iter().enumerate() {
                let (dims, values) = floats(&outputs, wanted.place).map_err(failed)?;
                collector.take(place, &rows, &dims, &values)?;
            }
        }
        collector.finish()
    }
}

fn floats(outputs: &[TValue], place: usize) -> Result<(Vec<usize>, Vec<f32>), String> {
    let tensor = outputs.get(place).ok_or_else(|| format!("it gave no output {place}"))?;
    guarded(|| {
        let view = tensor.to_plain_array_view::<f32>()?;
        Ok((view.shape().to_vec(), view.iter().copied().collect()))
    })
}

/// Does something with tract, whose panics become errors.
fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => result.map_err(|error| format!("{error:#}")),
        Err(_) => Err("tract stumbled over it".into()),
    }
}
