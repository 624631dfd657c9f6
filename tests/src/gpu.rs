//! Tests that need a GPU. Without one they count as skipped, and under `DUSTIN_REQUIRE_GPU=1` they fail.

use std::sync::OnceLock;

use dustin::cuda::{Context, CudaError, ModuleCache};
use libtest_mimic::{Completion, Failed, Trial};

/// The device that the tests run on.
#[derive(Debug)]
pub struct Gpu {
    /// Its primary context.
    pub context: Context,
    /// The kernels compiled for it.
    pub modules: ModuleCache,
}

impl Gpu {
    fn new() -> Result<Self, CudaError> {
        let context = Context::new(0)?;
        let modules = ModuleCache::new(&context)?;
        Ok(Self { context, modules })
    }

    /// The first device, found once per process.
    ///
    /// # Errors
    /// There is none that serves.
    pub fn get() -> Result<&'static Self, CudaError> {
        static GPU: OnceLock<Result<Gpu, CudaError>> = OnceLock::new();
        GPU.get_or_init(Self::new).as_ref().map_err(Clone::clone)
    }
}

/// A test on the GPU: skipped, with the reason, where there is none.
pub fn trial(
    name: impl Into<String>,
    test: impl FnOnce(&'static Gpu) -> Result<(), String> + Send + 'static,
) -> Trial {
    Trial::ignorable_test(name, move || match Gpu::get() {
        Ok(gpu) => test(gpu).map(|()| Completion::Completed).map_err(Failed::from),
        Err(error) => skip(error),
    })
}

/// Skips a test, unless `DUSTIN_REQUIRE_GPU` is set and so nothing may be skipped.
///
/// # Errors
/// Nothing may be skipped.
pub fn skip(reason: impl ToString) -> Result<Completion, Failed> {
    match std::env::var("DUSTIN_REQUIRE_GPU") {
        Ok(value) if value != "0" => {
            Err(format!("DUSTIN_REQUIRE_GPU is set, but {}", reason.to_string()).into())
        }
        _ => Ok(Completion::ignored_with(reason)),
    }
}

/// An error as the sentence that a failed test prints.
pub fn text(error: impl ToString) -> String {
    error.to_string()
}
