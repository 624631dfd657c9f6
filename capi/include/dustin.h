// The C ABI of Dustin's kernels: score gathering, selection, writing to caches, paged attention, and the verifier that makes a step
// of them.
//
// A context says where launches run: a CUDA context, the caller's or a device's primary one, or threads of the CPU. An operation
// is planned and compiled for one problem, and launched as often as one likes:
//
//   dustin_context_create_...   ->  dustin_context
//   dustin_profile_read         ->  dustin_profile (may be null: built-in choices)
//   dustin_attention_create     ->  dustin_operation; dustin_operation_report says which variant serves it, and why
//   dustin_operation_workspace_bytes, dustin_operation_initialise
//   dustin_attention_launch     as often as one likes; then dustin_operation_status
//   dustin_..._destroy
//
// Every call returns a dustin_status; dustin_last_error has a sentence for each that is not DUSTIN_STATUS_OK.
//
// Structs begin with struct_size: set it to sizeof of the struct, and all that is not used to zero. A later library takes the
// structs of an earlier header, and an earlier library those of a later header that say nothing new.
//
// Addresses are of the context's memory: device memory for CUDA, host memory for a CPU. A launch for CUDA is asynchronous on the
// caller's stream, allocates nothing, and can be captured into a graph; one for a CPU has ended when its call returns.
//
// All functions may be called by several threads at once, also with the same handles. Arrays and workspaces must not be
// those of another launch that runs at the same time, and a handle must not be destroyed while a launch that it
// submitted still runs.


#ifndef DUSTIN_H
#define DUSTIN_H

// Made of the source by `cargo xtask header`: edit that.

#include <stddef.h>
#include <stdint.h>

// What a call came to. `dustin_last_error` has the sentence that says more.
enum dustin_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Done, or submitted to the stream.
  DUSTIN_STATUS_OK = 0,
  // An argument is not as documented, or a file or text is not what it should be. Nothing was launched.
  DUSTIN_STATUS_INVALID_INPUT = 1,
  // A handle is null, was destroyed, is of another kind, or never was one.
  DUSTIN_STATUS_NO_SUCH_HANDLE = 2,
  // The device's or the host's memory, or its threads, are used up.
  DUSTIN_STATUS_OUT_OF_MEMORY = 3,
  // There is no CUDA driver, none that is new enough, or no device. CPU contexts work all the same.
  DUSTIN_STATUS_NO_GPU = 4,
  // The device, or the CUDA context, can no longer be used by this process.
  DUSTIN_STATUS_DEVICE_LOST = 5,
  // The operating system cannot read a file.
  DUSTIN_STATUS_IO = 6,
  // The CUDA driver refuses something else.
  DUSTIN_STATUS_DRIVER = 7,
  // A defect of this library. The arrays that the call writes are undefined; other handles are not affected.
  DUSTIN_STATUS_INTERNAL = 8,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_status dustin_status;
#else
typedef int32_t dustin_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Element types.
enum dustin_dtype
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // bfloat16.
  DUSTIN_DTYPE_BF16 = 1,
  // IEEE half precision.
  DUSTIN_DTYPE_F16 = 2,
  // 8-bit floats of 4 exponent bits, with scales, of caches: reserved, refused as yet.
  DUSTIN_DTYPE_FP8_E4M3 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_dtype dustin_dtype;
#else
typedef uint32_t dustin_dtype;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which of a step's own rows a row sees.
enum dustin_mask
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Itself and the earlier ones of its sequence.
  DUSTIN_MASK_CAUSAL = 0,
  // Those that its 64-bit mask names, its own bit included.
  DUSTIN_MASK_TREE = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_mask dustin_mask;
#else
typedef uint32_t dustin_mask;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Which confirmed tokens attention reads.
enum dustin_confirmed
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All: full-cache attention.
  DUSTIN_CONFIRMED_EVERYTHING = 1,
  // The first `sinks` and the last `recent` of each sequence; needs no sets.
  DUSTIN_CONFIRMED_WINDOW = 2,
  // Those of its set.
  DUSTIN_CONFIRMED_SETS = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_confirmed dustin_confirmed;
#else
typedef uint32_t dustin_confirmed;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What entries of a set count.
enum dustin_entries
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Positions of the sequence, which the block table finds and which are checked.
  DUSTIN_ENTRIES_POSITIONS = 0,
  // Slots of the cache, page * page_size + token: found without the block table; nobody checks that they are the sequence's.
  DUSTIN_ENTRIES_SLOTS = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_entries dustin_entries;
#else
typedef uint32_t dustin_entries;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The item type of attention's output.
enum dustin_output_type
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // That of the queries.
  DUSTIN_OUTPUT_TYPE_ROUNDED = 0,
  // fp32.
  DUSTIN_OUTPUT_TYPE_F32 = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_output_type dustin_output_type;
#else
typedef uint32_t dustin_output_type;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The base of the log-sum-exp.
enum dustin_log_base
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Natural logarithm.
  DUSTIN_LOG_BASE_E = 0,
  // Binary logarithm.
  DUSTIN_LOG_BASE_TWO = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_log_base dustin_log_base;
#else
typedef uint32_t dustin_log_base;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The importance maps that a selection reads.
enum dustin_maps
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The target's alone.
  DUSTIN_MAPS_TARGET = 1,
  // The draft's alone.
  DUSTIN_MAPS_DRAFT = 2,
  // The draft's for the quota, the target's for the rest.
  DUSTIN_MAPS_BOTH = 3,
  // None: sinks and recent tokens.
  DUSTIN_MAPS_NEITHER = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_maps dustin_maps;
#else
typedef uint32_t dustin_maps;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a sequence gets that has no target map.
enum dustin_fallback
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All of its tokens.
  DUSTIN_FALLBACK_EVERYTHING = 0,
  // Sinks, recent tokens, and the rest from the draft's map, if there is one.
  DUSTIN_FALLBACK_DRAFT = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_fallback dustin_fallback;
#else
typedef uint32_t dustin_fallback;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where the choice of a variant comes from.
enum dustin_source
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // The profile's entry for this very bucket.
  DUSTIN_SOURCE_EXACT = 1,
  // The profile's entry for a near bucket.
  DUSTIN_SOURCE_NEAR = 2,
  // The profile's entry for another GPU of the same compute capability.
  DUSTIN_SOURCE_OTHER_GPU = 3,
  // The built-in default.
  DUSTIN_SOURCE_DEFAULT = 4,
  // There is nothing to tune.
  DUSTIN_SOURCE_FIXED = 5,
  // There is nothing to launch.
  DUSTIN_SOURCE_IDLE = 6,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_source dustin_source;
#else
typedef uint32_t dustin_source;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a launch found wrong with the contents of arrays. Faulty items count as masked.
enum dustin_fault
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Nothing.
  DUSTIN_FAULT_NONE = 0,
  // A position of a set is negative, or at or beyond the sequence's confirmed length.
  DUSTIN_FAULT_POSITION = 1,
  // A position lies beyond the sequence's block table, or a length is negative.
  DUSTIN_FAULT_LENGTH = 2,
  // A block table names a page outside the cache, or a set a slot.
  DUSTIN_FAULT_PAGE = 3,
  // A set's size is above the capacity, or negative and not the flag EVERYTHING (-1).
  DUSTIN_FAULT_SET_SIZE = 4,
  // A sequence's rows descend, are more than the capacity, or lie outside the batch's.
  DUSTIN_FAULT_ROWS = 5,
  // A sequence's captured queries lie in a slot outside the buffer.
  DUSTIN_FAULT_SLOT = 6,
  // A sequence's part of the map is shorter than its length, or outside the map.
  DUSTIN_FAULT_MAP = 7,
  // A list of accepted rows does not ascend, names a row that is none, or its count is out of range.
  DUSTIN_FAULT_ACCEPTED = 8,
  // A layer's cache has no address, or a misaligned one; the layer's number stands in the sequence's place.
  DUSTIN_FAULT_LAYER = 9,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_fault dustin_fault;
#else
typedef uint32_t dustin_fault;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The order of a page's items.
enum dustin_kv_layout
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // `[pages, page_size, kv_heads, head_dim]`.
  DUSTIN_KV_LAYOUT_NHD = 1,
  // `[pages, kv_heads, page_size, head_dim]`.
  DUSTIN_KV_LAYOUT_HND = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_kv_layout dustin_kv_layout;
#else
typedef uint32_t dustin_kv_layout;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// Where launches run: a CUDA context with the kernels that were compiled for it, or threads of the CPU. May be used by several
// threads at once; launches of one CPU context take turns.
typedef struct dustin_context dustin_context;

// One operation, planned and compiled for one problem: score gathering, selection, appending, attention or compaction. May be
// launched by several threads at once, each in a workspace of its own; on a CPU context they take turns.
typedef struct dustin_operation dustin_operation;

// A tuned profile, as `autotune` writes it. May be used by several threads at once.
typedef struct dustin_profile dustin_profile;

// A paged cache of keys and one of values, of the same shape and strides: two arrays, or one interleaved one whose page stride
// covers both. Items of a head are contiguous. Strides count items, not bytes, and are multiples of 8.
//
// It is part of other structs and never grows.
typedef struct dustin_paged_kv {
  // Pages of the cache: 1 to 2^31 - 1.
  uint32_t pages;
  // Tokens of a page: a power of two, 1 to 256.
  uint32_t page_size;
  // KV heads of this rank.
  uint32_t kv_heads;
  // Items of a head: 64 or 128.
  uint32_t head_dim;
  // Items from one page to the next.
  uint64_t page_stride;
  // Items from one token of a page to the next.
  uint64_t token_stride;
  // Items from one KV head to the next.
  uint64_t kv_head_stride;
  // Element type of the cached items, a `dustin_dtype`; that of the queries as yet.
  uint32_t dtype;
  // Reserved: 0.
  uint32_t reserved;
} dustin_paged_kv;

// Attention of one layer over confirmed tokens of a batch, and over the step's own rows, in what the host knows: capacities,
// geometry, layout. Lengths, tables and sets lie in the context's memory.
typedef struct dustin_attention_problem {
  // sizeof(dustin_attention_problem).
  uint32_t struct_size;
  // Sequences of the batch: 1 to 65535.
  uint32_t batch;
  // The most query rows of one sequence, its pending token and its drafts: 1 to 64.
  uint32_t rows;
  // Query rows of the whole batch, the capacity of queries and outputs: at most batch * rows.
  uint32_t total_rows;
  // Query heads of this rank: 1 to 16 for each KV head.
  uint32_t query_heads;
  // Pages of one sequence's block table.
  uint32_t table_width;
  // Element type of queries and rounded outputs, a `dustin_dtype`.
  uint32_t dtype;
  // The confirmed tokens that are read, a `dustin_confirmed`.
  uint32_t confirmed;
  // The caches of this rank.
  struct dustin_paged_kv kv;
  // Of a window: first tokens of the sequence.
  uint32_t sinks;
  // Of a window: last confirmed tokens of the sequence.
  uint32_t recent;
  // Of sets: the most tokens of one, a multiple of the block.
  uint32_t set_capacity;
  // Of sets: tokens that one entry stands for, a power of two up to 256; 0 for 1.
  uint32_t set_block;
  // Of sets: what entries count, a `dustin_entries`.
  uint32_t set_entries;
  // Of sets: 1 if each KV head has a set of its own, 0 if all of a sequence's share one.
  uint32_t set_per_kv_head;
  // Which of the step's own rows a row sees, a `dustin_mask`.
  uint32_t mask;
  // 1 if the log-sum-exp is asked for.
  uint32_t lse;
  // 1 if choices must not depend on the batch, so that a sequence's bits do not, either.
  uint32_t batch_invariant;
  // Reserved: 0.
  uint32_t reserved;
} dustin_attention_problem;

// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_attention_args {
  // sizeof(dustin_attention_args).
  uint32_t struct_size;
  // The softmax scale, positive: usually 1 / sqrt(head_dim).
  float scale;
  // Queries after rotary embedding, `[total_rows, query_heads, head_dim]`; on a GPU aligned to 16 bytes, as are caches and outputs.
  const void *query;
  // Key cache after rotary embedding, in which the step's own rows lie at positions length and following.
  const void *key;
  // Value cache.
  const void *value;
  // Physical page numbers, int32 `[batch, table_width]`.
  const void *block_table;
  // Confirmed lengths, int32 `[batch]`.
  const void *lengths;
  // First query row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
  const void *row_starts;
  // Outputs, `[total_rows, query_heads, head_dim]`, of the type `output_type`. Rows of no sequence are left as they are.
  void *output;
  // The workspace, readied by `dustin_operation_initialise`.
  void *workspace;
  // Bytes of the workspace.
  uint64_t workspace_bytes;
  // Entries of the sets, int32 `[batch, sets, entries]`; null where the problem has none.
  const void *set;
  // Tokens of each set, or -1 for all of its sequence, int32 `[batch, sets]`; null where the problem has none.
  const void *set_sizes;
  // Rows that each row sees, uint64 `[total_rows]`, bit j for the sequence's row j; null unless the mask is a tree.
  const void *masks;
  // Log-sum-exp, float `[total_rows, query_heads]`; null unless the problem asks for it.
  void *lse;
  // Scales of cached keys: reserved, null.
  const void *key_scale;
  // Scales of cached values: reserved, null.
  const void *value_scale;
  // From one query row to the next; a multiple of 8, as are the other three of queries and outputs.
  uint64_t query_row_stride;
  // From one query head to the next.
  uint64_t query_head_stride;
  // From one output row to the next.
  uint64_t output_row_stride;
  // From one output head to the next.
  uint64_t output_head_stride;
  // From one sequence's block table to the next.
  uint64_t table_stride;
  // From one sequence's sets to the next's.
  uint64_t set_stride;
  // From one KV head's set to the next's.
  uint64_t set_head_stride;
  // The item type of outputs, a `dustin_output_type`.
  uint32_t output_type;
  // The base of the log-sum-exp, a `dustin_log_base`.
  uint32_t lse_base;
  // 1 if what is launched right before on the stream leaves `lengths`, `row_starts`, `block_table`, `set`, `set_sizes`, `masks`
  // and the caches' confirmed rows as they are, and does not clear the status, as in all layers of a step but the first: then
  // launches may overlap. 0 where nobody knows. A CPU does not look at it.
  uint32_t stable;
  // Reserved: 0.
  uint32_t reserved;
} dustin_attention_args;

// The shape of a decoder-only model with grouped-query attention, of the whole model whatever the tensor parallelism.
typedef struct dustin_geometry {
  // sizeof(dustin_geometry).
  uint32_t struct_size;
  // Decoder layers.
  uint32_t layers;
  // Query heads.
  uint32_t query_heads;
  // KV heads.
  uint32_t kv_heads;
  // Items of a head.
  uint32_t head_dim;
  // Items of a token's hidden state.
  uint32_t hidden;
  // Items between the two matrices of a layer's feed-forward network.
  uint32_t intermediate;
  // Tokens of the vocabulary, padding included.
  uint32_t vocabulary;
} dustin_geometry;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Plans attention, and on a GPU compiles it: some tens of milliseconds for a variant that the context has not met. `profile` is
// null for the built-in choice.
//
// # Safety
// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
dustin_status dustin_attention_create(const struct dustin_context *context,
                                      const struct dustin_profile *profile,
                                      const struct dustin_attention_problem *problem,
                                      struct dustin_operation **operation);

// Launches attention. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
// for the legacy default one. On a CPU `stream` is null.
//
// # Safety
// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
// touches outputs, log-sum-exp and workspace; the operation or its context is kept. What arrays contain is checked, but for rows that two
// sequences share, whose results are undefined. `args` is null or a struct of the size that its first field says.
dustin_status dustin_attention_launch(const struct dustin_operation *operation,
                                      const struct dustin_attention_args *args,
                                      void *stream);

// What the last call that failed on this thread was refused for: one sentence that names the operation, the field, what it
// must be and what it is. Empty if none has failed. Valid until the next call that fails on this thread; calls that succeed
// leave it as it is.
const char *dustin_last_error(void);

// The version of the ABI that the library has: rises with every function and every field that is added. Nothing is removed or
// changed.
uint32_t dustin_abi_version(void);

// A context on the CPU with `threads` threads, 0 for one for each hardware thread. All addresses that it is given are of host
// memory, streams are null, and a launch has ended when its call returns.
//
// # Safety
// `context` is null or may be written.
dustin_status dustin_context_create_cpu(uint32_t threads, struct dustin_context **context);

// The primary context of the CUDA device `ordinal`, the one that the CUDA runtime uses.
//
// # Safety
// `context` is null or may be written.
dustin_status dustin_context_create_cuda(uint32_t ordinal, struct dustin_context **context);

// A caller's `CUcontext`, of whichever binding.
//
// # Safety
// `cu_context` exists until the result and all that was made with it are destroyed; `context` is null or may be written.
dustin_status dustin_context_borrow_cuda(void *cu_context, struct dustin_context **context);

// Whether a context is one of CUDA: writes 1 or 0.
//
// # Safety
// `is_cuda` is null or may be written.
dustin_status dustin_context_is_cuda(const struct dustin_context *context, uint32_t *is_cuda);

// The device of a context in words, by the name that profiles know it by.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_context_device_name(const struct dustin_context *context, char *text, size_t capacity, size_t *length);

// Frees a context. What was made with it keeps what it needs of it. Null is nothing to free.
dustin_status dustin_context_destroy(struct dustin_context *context);

// The geometry of a built-in model, by the name of its checkpoint, such as `Qwen2.5-72B`, in any case.
//
// # Safety
// `name` is null or a text that ends with NUL; `geometry` is null or a struct of the size that its first field says.
dustin_status dustin_geometry_preset(const char *name, struct dustin_geometry *geometry);

// The geometry that a model's `config.json` states, as Hugging Face's transformers writes it: of the families Qwen2, Qwen3, Llama
// and Mistral. A model whose layers see no more than a sliding window that is shorter than its longest context is refused.
//
// # Safety
// `path` is null or a text that ends with NUL; `geometry` is null or a struct of the size that its first field says.
dustin_status dustin_geometry_read_config(const char *path, struct dustin_geometry *geometry);

// As `dustin_geometry_read_config`, from the `length` bytes of the file's text.
//
// # Safety
// `length` bytes at `config` may be read; `geometry` is null or a struct of the size that its first field says.
dustin_status dustin_geometry_parse_config(const char *config, size_t length, struct dustin_geometry *geometry);

// Sets the strides of `kv` from its shape and a `dustin_kv_layout`.
//
// `interleaved` is 0 for keys and values in two arrays, and 1 for one array `[pages, 2, ...]`, in which each page of keys stands
// before that of values: the value cache then begins one dense page behind the key cache.
//
// # Safety
// `kv` is null, or may be read and written.
dustin_status dustin_paged_kv_set_strides(struct dustin_paged_kv *kv, uint32_t layout, uint32_t interleaved);

// Bytes of workspace that launches need, aligned to 256 bytes in a CUDA context, to 8 on a CPU. Launches that overlap in time
// need one each.
//
// # Safety
// `bytes` is null or may be written.
dustin_status dustin_operation_workspace_bytes(const struct dustin_operation *operation, uint64_t *bytes);

// Readies the `bytes` bytes at `workspace`, in the stream's order: before the first launch, and after something else has used
// the memory. Does not wait.
//
// # Safety
// The memory exists in the context until this has ended, and nobody else touches it; `stream` is one of the context.
dustin_status dustin_operation_initialise(const struct dustin_operation *operation,
                                          void *workspace,
                                          uint64_t bytes,
                                          void *stream);

// What launches in a workspace have found wrong with the contents of arrays since it was readied or cleared: the highest
// `dustin_fault`, 0 if there is none, and the highest sequence that has it. Waits for the stream.
//
// # Safety
// As `dustin_operation_initialise`; `fault` and `sequence` are null or may be written.
dustin_status dustin_operation_status(const struct dustin_operation *operation,
                                      void *workspace,
                                      uint64_t bytes,
                                      void *stream,
                                      uint32_t *fault,
                                      uint32_t *sequence);

// Forgets what launches in a workspace have found, in the stream's order. Does not wait.
//
// # Safety
// As `dustin_operation_initialise`.
dustin_status dustin_operation_clear_status(const struct dustin_operation *operation,
                                            void *workspace,
                                            uint64_t bytes,
                                            void *stream);

// Where the choice of what is launched comes from, a `dustin_source`.
//
// # Safety
// `source` is null or may be written.
dustin_status dustin_operation_source(const struct dustin_operation *operation, uint32_t *source);

// The stable id of the variant that is launched.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_operation_variant(const struct dustin_operation *operation, char *text, size_t capacity, size_t *length);

// What is launched, where that choice comes from, and in lines of their own the reasons why it is nothing better.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_operation_report(const struct dustin_operation *operation, char *text, size_t capacity, size_t *length);

// Frees an operation, once its launches and the graphs that captured them have ended. Null is nothing to free.
dustin_status dustin_operation_destroy(struct dustin_operation *operation);

// Reads the profile at `path`. Entries that cannot be used are left out, with a warning.
//
// # Safety
// `path` is null or a text that ends with NUL; `profile` is null or may be written.
dustin_status dustin_profile_read(const char *path, struct dustin_profile **profile);

// As `dustin_profile_read`, from the `length` bytes of the file's text.
//
// # Safety
// `length` bytes at `toml` may be read; `profile` is null or may be written.
dustin_status dustin_profile_parse(const char *toml, size_t length, struct dustin_profile **profile);

// What of a profile is not used, or with a reservation: a line for each doubt, no text if there is none. With a context, also
// what of it does not hold on that context's device; without one (null), what the text alone tells.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_profile_warnings(const struct dustin_profile *profile,
                                      const struct dustin_context *context,
                                      char *text,
                                      size_t capacity,
                                      size_t *length);

// Frees a profile. What was made with it does not need it any more. Null is nothing to free.
dustin_status dustin_profile_destroy(struct dustin_profile *profile);

// The name of a status, such as `DUSTIN_STATUS_OK`: a text for ever. Numbers that are none have one, too.
const char *dustin_status_name(int32_t status);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DUSTIN_H */
