//! Wider vectors where the machine has them: the only file that names pulp.

/// Work on many numbers at once. [`Kernel::run`] and what it calls are to be `#[inline(always)]`: only what is part of it
/// is compiled for wider vectors.
pub(super) trait Kernel {
    type Output;

    fn run(self) -> Self::Output;
}

/// Does the work in code that was compiled once more for the widest vectors of this machine. Its results have the same
/// bits on every machine: the compiler neither fuses nor reorders operations on floating-point numbers.
pub(super) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    struct Nullary<K>(K);

    impl<K: Kernel> pulp::NullaryFnOnce for Nullary<K> {
        type Output = K::Output;

        #[inline(always)]
        fn call(self) -> K::Output {
            self.0.run()
        }
    }

    pulp::Arch::new().dispatch(Nullary(kernel))
}
