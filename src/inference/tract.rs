//! ONNX models run by tract, in pure Rust. The only file that names `tract_onnx`.
