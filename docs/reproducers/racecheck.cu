// What compute-sanitizer's racecheck reports of kernels that are free of races: named barriers of teams of warps, mixed with
// barriers of the whole block, as attention has them.
//
//   nvcc -O3 -std=c++17 -arch=sm_90 racecheck.cu -o racecheck
//   ./racecheck 3000       `stale` is 0 in every line but those of NO_BLOCK, the control, whose barriers are left out
//   compute-sanitizer --tool racecheck --print-limit 10000 ./racecheck 1      (kernels are named mixed<C, T, mode>)
//
// Version 2025.3.1 on an NVIDIA H200 (driver 580.159.04), teams of C warps, T of them, reports beside the control: FRESH, COPIES,
// AS_NAMED and ALIGNED with 3 teams of 3, and AS_NAMED with 3 teams of 4. Nothing of NO_NAMED, which has no named barriers.
#include <cstdio>
#include <cstdlib>
#include <utility>
enum { LIKE, EVEN, FRESH, COPIES, NO_NAMED, AS_NAMED, ALIGNED, NO_BLOCK, MODES };
const char* NAMES[] = {"LIKE     as the kernel", "EVEN     teams have equal steps", "FRESH    results in memory the loop never touched",
    "COPIES   the loop's words come by cp.async", "NO_NAMED barrier 0 in the loop, too", "AS_NAMED barrier 15 of all threads for barrier 0",
    "ALIGNED  bar.sync 0", "NO_BLOCK control: barriers left out"};
__device__ void named(unsigned id, unsigned n) { asm volatile("barrier.sync %0, %1;" ::"r"(id), "r"(n) : "memory"); }
template <int M> __device__ void block() {
  if (M == AS_NAMED) named(15, blockDim.x);
  else if (M == ALIGNED) __syncthreads();
  else asm volatile("barrier.sync 0;" ::: "memory");
}
template <int C, int T, int M> __global__ void mixed(unsigned rounds, const unsigned* in, unsigned* stale) {
  __shared__ unsigned places[T * 64], marks[T * 64], fresh[T * 64], flag;
  unsigned *states = M == FRESH ? fresh : places, *verdict = M == FRESH ? &flag : marks;
  unsigned warp = threadIdx.x / 32, lane = threadIdx.x % 32, team = warp / C, member = warp % C, bad = 0, sum = 0;
  for (unsigned round = 1; round <= rounds; round++) {
    auto meet = [&] { if (M == NO_NAMED) block<M>(); else named(1 + team, 32 * C); };
    auto delay = [&](unsigned site) { if (rounds > 1) __nanosleep(((warp * 2654435761u) ^ (round * 40503u) ^ (site * 7919u)) >> 5 & 1023); };
    unsigned token = round << 12, steps = M == EVEN || M == NO_NAMED ? 5 : 3 + 2 * team;
    for (unsigned step = 0; step < steps; step++) {
      unsigned at = team * 64 + step % 2 * 32;
      if (step % C == member) {
        unsigned to = (unsigned)__cvta_generic_to_shared(places + at + lane);
        if (M == COPIES) asm volatile("cp.async.ca.shared.global [%0], [%1], 4;\ncp.async.wait_all;" ::"r"(to), "l"(in + lane) : "memory");
        else places[at + lane] = step + lane;
        marks[at + lane] = step;
      }
      delay(step);
      meet();
      sum += places[at + (lane ^ 1)] + marks[at + (lane ^ 2)];
    }
    meet();
    for (unsigned i = 0, column = 16 * member + lane / 4; i < 2; i++)
      if (lane % 4 == 0) states[team * 64 + column + 8 * i] = token + team * 64 + column + 8 * i;
    delay(97);
    if (M != NO_BLOCK) block<M>();
    for (unsigned t = 0, c = threadIdx.x % (16 * C); t < T; t++) bad += states[t * 64 + c] != token + t * 64 + c;
    block<M>();
    if (threadIdx.x == 0) { delay(98); *verdict = token; }
    if (M != NO_BLOCK) block<M>();
    bad += *verdict != token;
    block<M>();
  }
  if (bad) atomicAdd(stale, bad);
  if (sum == 0xffffffff) atomicAdd(stale + 1, 1);
}
template <int C, int T, int M> void run(unsigned rounds) {
  unsigned* words; cudaMalloc(&words, 1024); cudaMemset(words, 0, 1024);
  mixed<C, T, M><<<rounds > 1 ? 528 : 2, 32 * C * T>>>(rounds, words + 2, words);
  unsigned stale = 0; cudaError_t error = cudaMemcpy(&stale, words, 4, cudaMemcpyDeviceToHost); cudaFree(words);
  printf("mixed<%d, %d, %d> %-52s stale %u, %s\n", C, T, M, NAMES[M], stale, cudaGetErrorString(error));
}
template <int C, int T, int... M> void all(unsigned rounds, std::integer_sequence<int, M...>) { (run<C, T, M>(rounds), ...); }
int main(int, char** argv) { unsigned n = atoi(argv[1]); std::make_integer_sequence<int, MODES> m; all<1, 4>(n, m); all<2, 2>(n, m); all<3, 3>(n, m); all<4, 3>(n, m); }
