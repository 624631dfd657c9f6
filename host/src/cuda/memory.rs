//! Device memory.

use std::{fmt, marker::PhantomData};

use cudarc::driver::sys;
use dustin_kernels::simt::Global;

use super::{context::Context, error::CudaError, stream::Stream};
use crate::error::InvalidInput;

const OUT_OF_MEMORY: i32 = 2;

/// A plain item that host and device agree on.
///
/// # Safety
/// Every bit pattern is a value, and there is no padding.
pub unsafe trait DeviceItem: Copy + Default + Send + Sync + 'static {}

macro_rules! device_items {
    ($($item:ty)*) => {$(
        // SAFETY: a number without padding.
        unsafe impl DeviceItem for $item {}
    )*};
}

device_items!(u8 u16 u32 u64 i32 f32);

/// An array of `len` items in device memory, freed when dropped. The driver frees it behind the work already
/// submitted.
pub struct DeviceBuffer<T> {
    context: Context,
    address: sys::CUdeviceptr,
    len: usize,
    item: PhantomData<T>,
}

impl<T: DeviceItem> DeviceBuffer<T> {
    /// Memory for `len` items, whose values are unspecified.
    ///
    /// # Errors
    /// [`CudaError::OutOfMemory`]; what the driver returns.
    pub fn allocate(context: &Context, len: usize) -> Result<Self, CudaError> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(CudaError::OutOfMemory { bytes: usize::MAX })?;
        let mut address = 0;
        if bytes > 0 {
            // SAFETY: a context is current; the driver writes one address.
            unsafe { context.enter()?.cuMemAlloc_v2(&mut address, bytes) }.map_err(|error| {
                if error.has_code(OUT_OF_MEMORY) { CudaError::OutOfMemory { bytes } } else { error }
            })?;
        }
        Ok(Self { context: context.clone(), address, len, item: PhantomData })
    }

    /// A copy of `items` on the stream's device.
    ///
    /// # Errors
    /// As [`DeviceBuffer::allocate`] and [`DeviceBuffer::upload`].
    pub fn of(stream: &Stream, items: &[T]) -> Result<Self, CudaError> {
        let mut buffer = Self::allocate(stream.context(), items.len())?;
        buffer.upload(stream, 0, items)?;
        Ok(buffer)
    }

    /// Copies `items` to the array, from item `first` on, and waits for the stream.
    ///
    /// # Errors
    /// Items beyond the array's end; what the driver returns.
    pub fn upload(&mut self, stream: &Stream, first: usize, items: &[T]) -> Result<(), CudaError> {
        let address = self.range("upload", first, items.len())?;
        if items.is_empty() {
            return Ok(());
        }
        let current = self.context.enter()?;
        let (from, bytes) = (items.as_ptr().cast(), size_of_val(items));
        // SAFETY: both ranges hold `bytes` bytes; the host's is borrowed until the stream has been waited for.
        unsafe { current.cuMemcpyHtoDAsync_v2(address, from, bytes, stream.raw())? };
        stream.synchronize()
    }

    /// A copy of `len` items of the array, from item `first` on. Waits for the stream.
    ///
    /// # Errors
    /// Items beyond the array's end; what the driver returns.
    pub fn download_range(&self, stream: &Stream, first: usize, len: usize) -> Result<Vec<T>, CudaError> {
        let address = self.range("download", first, len)?;
        let mut items = vec![T::default(); len];
        if items.is_empty() {
            return Ok(items);
        }
        // SAFETY: the range was checked.
        unsafe { read(stream, address, &mut items)? };
        Ok(items)
    }

    /// A copy of the array. Waits for the stream.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn download(&self, stream: &Stream) -> Result<Vec<T>, CudaError> {
        self.download_range(stream, 0, self.len)
    }

    /// Sets every byte of the array, in the stream's order. Does not wait.
    ///
    /// # Errors
    /// What the driver returns.
    pub fn fill(&mut self, stream: &Stream, byte: u8) -> Result<(), CudaError> {
        if self.len == 0 {
            return Ok(());
        }
        // SAFETY: the array has as many bytes.
        unsafe { fill(stream, self.address, byte, self.bytes()) }
    }

    /// Items in the array.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none. Such an array has no memory, and the address 0.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in the array.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.len * size_of::<T>()
    }

    /// The device address.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.address
    }

    /// The array as kernels take it.
    #[must_use]
    pub fn global(&self) -> Global<T> {
        Global::at(self.address)
    }

    fn range(&self, operation: &'static str, first: usize, len: usize) -> Result<u64, CudaError> {
        if first.checked_add(len).is_none_or(|end| end > self.len) {
            let required = format!("within the {} items of the array", self.len);
            return Err(InvalidInput::new(operation, "items", required, format!("{first} + {len}")).into());
        }
        Ok(self.address + (first * size_of::<T>()) as u64)
    }
}

/// Sets `bytes` bytes of device memory, in the stream's order. Does not wait.
///
/// # Safety
/// The memory exists, and nothing else uses it meanwhile.
pub(super) unsafe fn fill(stream: &Stream, address: u64, byte: u8, bytes: usize) -> Result<(), CudaError> {
    // SAFETY: the caller's promise; the stream exists.
    unsafe { stream.context().enter()?.cuMemsetD8Async(address, byte, bytes, stream.raw()) }
}

/// Copies device memory to `items` and waits for the stream.
///
/// # Safety
/// The memory exists.
pub(super) unsafe fn read<T: DeviceItem>(
    stream: &Stream,
    address: u64,
    items: &mut [T],
) -> Result<(), CudaError> {
    let current = stream.context().enter()?;
    let (to, bytes) = (items.as_mut_ptr().cast(), size_of_val(items));
    // SAFETY: both ranges hold `bytes` bytes; the host's is borrowed until the stream has been waited for.
    unsafe { current.cuMemcpyDtoHAsync_v2(to, address, bytes, stream.raw())? };
    stream.synchronize()
}

impl<T> fmt::Debug for DeviceBuffer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeviceBuffer({:#x}, {} items)", self.address, self.len)
    }
}

impl<T> Drop for DeviceBuffer<T> {
    fn drop(&mut self) {
        if self.address != 0
            && let Ok(current) = self.context.enter()
        {
            // SAFETY: this value made the allocation, and nothing of it is handed out as safe to use any longer.
            let _ = unsafe { current.cuMemFree_v2(self.address) };
        }
    }
}
