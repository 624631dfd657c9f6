//! Single-precision arithmetic that is one instruction on the GPU.

macro_rules! unary {
    ($(#[$doc:meta])* $name:ident, $instruction:literal, $host:expr) => {
        $(#[$doc])*
        #[inline(always)]
        #[must_use]
        pub fn $name(x: f32) -> f32 {
            #[cfg(target_arch = "nvptx64")]
            {
                let y: f32;
                // SAFETY: registers only.
                unsafe { core::arch::asm!(concat!($instruction, " {0}, {1};"), out(reg32) y, in(reg32) x,
                    options(pure, nomem, nostack)) };
                y
            }
            #[cfg(not(target_arch = "nvptx64"))]
            $host(x)
        }
    };
}

unary!(
    /// 2 to the power `x`, to 2 ulp; 0 where that is less than the least normal number. PTX `ex2.approx.ftz.f32`.
    exp2, "ex2.approx.ftz.f32", |x: f32| {
        let power = x.exp2();
        if power < f32::MIN_POSITIVE { 0.0 } else { power }
    }
);
unary!(
    /// Logarithm of `x` to base 2; negative infinity for 0. PTX `lg2.approx.f32`.
    log2, "lg2.approx.f32", f32::log2
);

/// The greater of two numbers: the other one where one is NaN. PTX `max.f32`.
#[inline(always)]
#[must_use]
pub fn max(a: f32, b: f32) -> f32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let c: f32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("max.f32 {c}, {a}, {b};", c = out(reg32) c, a = in(reg32) a, b = in(reg32) b,
                options(pure, nomem, nostack));
        }
        c
    }
    #[cfg(not(target_arch = "nvptx64"))]
    a.max(b)
}

/// `a · b + c`, rounded once. PTX `fma.rn.f32`.
#[inline(always)]
#[must_use]
pub fn fma(a: f32, b: f32, c: f32) -> f32 {
    #[cfg(target_arch = "nvptx64")]
    {
        let d: f32;
        // SAFETY: registers only.
        unsafe {
            core::arch::asm!("fma.rn.f32 {d}, {a}, {b}, {c};", d = out(reg32) d, a = in(reg32) a,
                b = in(reg32) b, c = in(reg32) c, options(pure, nomem, nostack));
        }
        d
    }
    #[cfg(not(target_arch = "nvptx64"))]
    a.mul_add(b, c)
}
