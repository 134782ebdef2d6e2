//! The readers of outside bytes, without the engine around them: their files are included here as they are, so that neither
//! burn nor onnxruntime is built.
//!
//! One target for each kind of bytes lies in `bin/`. A target says what must hold for *any* bytes; laws that look at the
//! inside of a module are in `laws.rs` and `wire_laws.rs`. How it is run: `tests/fuzz/run`.

pub mod pool_laws;

#[path = "../../../src"]
mod sources {
    pub mod annotation;
    pub mod artifacts;
    pub mod audit {
        pub mod explanation;
        pub mod futures;
        pub mod inferred;
        pub mod replay;
        pub mod report {
            pub mod value;
        }
        pub mod retention;
        pub mod selection;
        pub mod verify;
    }
    pub mod blocking;
    pub mod control {
        #[path = "../../tests/fuzz/src/wire_laws.rs"]
        pub mod laws;
        pub mod wire;
    }
    pub mod data_selector;
    pub mod domain;
    pub mod engine {
        pub mod label_report;
        pub mod status;
    }
    pub mod faults;
    pub mod metrics;
    pub mod pool;
    pub mod program;
    pub mod store;
    pub mod workflow;
}

pub use sources::{
    annotation, artifacts, audit, blocking, control, data_selector, domain, engine, faults,
    metrics, pool, program, store, workflow,
};
