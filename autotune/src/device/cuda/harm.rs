//! Harm that a candidate may do to the context that it runs in.

use dustin::cuda::{CudaError, DeviceBuffer, ModuleCache, Stream};
use dustin_kernels::registry::{Entry, Target};

use crate::worker::Harm;

/// Writes to the first page, which is nobody's.
const ILLEGAL_ACCESS: &str = "\
.version 7.0
.target sm_80
.address_size 64
.visible .entry harm_illegal_access()
{
    .reg .b64 %nowhere;
    .reg .b32 %word;
    mov.u64 %nowhere, 16;
    mov.u32 %word, 1;
    st.global.u32 [%nowhere], %word;
    ret;
}
";

/// Spins for 30 s of the device's clock of nanoseconds, and ends.
const HANG: &str = "\
.version 7.0
.target sm_80
.address_size 64
.visible .entry harm_hang()
{
    .reg .b64 %now, %end;
    .reg .pred %more;
    mov.u64 %end, %globaltimer;
    add.u64 %end, %end, 30000000000;
SPIN:
    mov.u64 %now, %globaltimer;
    setp.lt.u64 %more, %now, %end;
    @%more bra SPIN;
    ret;
}
";

/// Ends the context.
const CRASH: &str = "\
.version 7.0
.target sm_80
.address_size 64
.visible .entry harm_crash()
{
    trap;
    ret;
}
";

/// Does it, and waits for what comes of it.
///
/// # Errors
/// What the driver returns.
pub(super) fn suffer(harm: Harm, modules: &ModuleCache, stream: &Stream) -> Result<(), CudaError> {
    let (name, text) = match harm {
        Harm::IllegalAccess => ("harm_illegal_access", ILLEGAL_ACCESS),
        Harm::Hang => ("harm_hang", HANG),
        Harm::Crash => ("harm_crash", CRASH),
        Harm::OutOfMemory => return DeviceBuffer::<u8>::allocate(stream.context(), 1 << 50).map(drop),
        Harm::None | Harm::Wrong | Harm::Nan | Harm::BadTime => return Ok(()),
    };
    let entry = Entry { name, target: Target::Sm80, threads: 1, blocks: 1, shared_bytes: 0 };
    let kernel = modules.kernel(&entry, Some(text))?;
    // SAFETY: the kernel takes no arguments, and touches no memory that is anybody's.
    unsafe { kernel.launch(stream, [1, 1, 1], &mut [])? };
    stream.synchronize()
}
