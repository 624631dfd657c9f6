// A CUDA driver of one GPU that launches nothing: its memory is the host's, and it tells who asks what it was asked.

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// For the test: what has been called, where the last kernel was launched and memory filled, the context last made
// current, in which mode of capture memory was allocated, and the capture that every stream is part of.
char fake_calls[1 << 20];
uint64_t fake_launch_stream, fake_fill_stream, fake_context, fake_capture;
int fake_allocation_mode = -1;
static int mode;
static uint64_t handle = 1 << 20;

static void called(const char *name) {
    if (strlen(fake_calls) + strlen(name) + 2 < sizeof fake_calls) strcat(strcat(fake_calls, name), "\n");
}

#define DOES(name, parameters, body) int name parameters { called(#name); body; return 0; }
#define NOTHING(name) DOES(name, (void), )
#define NUMBER(name, value) DOES(name, (int *out), *out = value)
#define HANDLE(name) DOES(name, (uint64_t *out), *out = ++handle)

NUMBER(cuDriverGetVersion, 12040)
NUMBER(cuDeviceGetCount, 1)
NUMBER(cuDeviceGet, 0)
NUMBER(cuCtxGetDevice, 0)
NUMBER(cuPointerGetAttribute, 0)
NUMBER(cuFuncGetAttribute, 0)
NUMBER(cuOccupancyMaxActiveBlocksPerMultiprocessor, 1)
// Compute capability 9.0, 132 multiprocessors, an H200's shared memory.
DOES(cuDeviceGetAttribute, (int *out, int which),
     *out = which == 75 ? 9 : which == 76 ? 0 : which == 16 ? 132 : which == 97 ? 232448 : 1024)
DOES(cuDeviceGetName, (char *out), *out = 0)
DOES(cuDeviceGetPCIBusId, (char *out), *out = 0)
DOES(cuDeviceTotalMem_v2, (size_t *out), *out = (size_t)1 << 37)
DOES(cuMemGetInfo_v2, (size_t *unused, size_t *out), *unused = *out = (size_t)1 << 37)
DOES(cuDevicePrimaryCtxRetain, (uint64_t *out), *out = 77)
DOES(cuCtxGetCurrent, (uint64_t *out), *out = fake_context)
DOES(cuCtxPushCurrent_v2, (uint64_t context), fake_context = context)
HANDLE(cuStreamCreate)
HANDLE(cuEventCreate)
HANDLE(cuModuleLoadDataEx)
HANDLE(cuModuleGetFunction)
HANDLE(cuGraphInstantiateWithFlags)
DOES(cuStreamEndCapture, (uint64_t stream, uint64_t *out), (void)stream; *out = ++handle)
DOES(cuStreamGetCaptureInfo_v2, (uint64_t stream, int *status, uint64_t *number),
     (void)stream; *status = fake_capture != 0; *number = fake_capture)
DOES(cuThreadExchangeStreamCaptureMode, (int *own), int before = mode; mode = *own; *own = before)
DOES(cuMemAlloc_v2, (void **out, size_t bytes),
     fake_allocation_mode = mode; *out = aligned_alloc(256, (bytes + 255) / 256 * 256))
DOES(cuMemFree_v2, (void *memory), free(memory))
DOES(cuMemcpyHtoD_v2, (void *to, const void *from, size_t bytes), memcpy(to, from, bytes))
DOES(cuMemcpyHtoDAsync_v2, (void *to, const void *from, size_t bytes), memcpy(to, from, bytes))
DOES(cuMemcpyDtoHAsync_v2, (void *to, const void *from, size_t bytes), memcpy(to, from, bytes))
DOES(cuMemsetD8Async, (void *memory, unsigned char value, size_t bytes, uint64_t stream),
     memset(memory, value, bytes); fake_fill_stream = stream)
// CUlaunchConfig: six sizes and the bytes of shared memory, 4 bytes each; then the stream.
DOES(cuLaunchKernelEx, (const uint64_t *config), fake_launch_stream = config[4])
NOTHING(cuInit)
NOTHING(cuGetErrorName)
NOTHING(cuCtxPopCurrent_v2)
NOTHING(cuDevicePrimaryCtxRelease_v2)
NOTHING(cuStreamDestroy_v2)
NOTHING(cuStreamSynchronize)
NOTHING(cuStreamQuery)
NOTHING(cuStreamWaitEvent)
NOTHING(cuStreamBeginCapture_v2)
NOTHING(cuGraphDestroy)
NOTHING(cuGraphExecDestroy)
NOTHING(cuGraphUpload)
NOTHING(cuGraphLaunch)
NOTHING(cuEventDestroy_v2)
NOTHING(cuEventRecord)
NOTHING(cuEventSynchronize)
NOTHING(cuEventElapsedTime)
NOTHING(cuModuleUnload)
NOTHING(cuFuncSetAttribute)
