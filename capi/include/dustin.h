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
// Caches stay where the engine has them: dustin_paged_kv_from_tensor reads the shape and the strides of FlashInfer's and vLLM's tensors,
//
//   int64_t shape[] = {pages, 2, page_size, kv_heads, head_dim};  // FlashInfer, NHD
//   dustin_paged_kv_from_tensor(shape, strides, 5, DUSTIN_KV_TENSOR_PAGES_FIRST, DUSTIN_KV_LAYOUT_NHD, DUSTIN_DTYPE_BF16, &kv, &value);
//   key_cache = tensor;  value_cache = (uint16_t *)tensor + value;
//
// dustin_paged_kv_set_strides makes the strides of dense ones, and dustin_csr_to_block_tables FlashInfer's page indices block tables.
//
// A stage of a verifier runs on the stream that it is called with. The target's map may be gathered on a stream of the engine's own beside
// the draft model, ordered by two events; on other streams all of a step may be captured into one graph likewise:
//
//   cuEventRecord(fork, main);  cuStreamWaitEvent(side, fork, 0);   // lengths, tables and captured queries stand
//   dustin_verifier_score_target(verifier, workspace, &step, side);
//   ... the draft's forwards and dustin_verifier_score_draft on main ...
//   cuEventRecord(join, side);  cuStreamWaitEvent(main, join, 0);   // whatever failed meanwhile, so that a capture can end
//   dustin_verifier_select(verifier, workspace, &step, main);
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
  // The built-in default of an operation that profiles have no entries for.
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
  // A draft's token lies outside the vocabulary.
  DUSTIN_FAULT_TOKEN = 10,
  // A row of a tree continues one that is not before it, or the first row continues one.
  DUSTIN_FAULT_PARENT = 11,
  // A score is NaN, or a row of scores has no token of any weight.
  DUSTIN_FAULT_SCORE = 12,
  // A temperature is negative or NaN.
  DUSTIN_FAULT_TEMPERATURE = 13,
  // A row of the draft's scores is named that there is not.
  DUSTIN_FAULT_DRAFT_ROW = 14,
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

// Which dimensions the tensor of a layer's cache has beside those of a `dustin_kv_layout`, which is the order of its shape. How they
// lie in memory is the strides' to say: a tensor of NHD shape may be HND in memory, as vLLM's are where it is told so.
enum dustin_kv_tensor
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Keys alone, or values alone: `[pages, page_size, kv_heads, head_dim]`, or HND. FlashInfer's tuple of two tensors, and a layer's
  // buffers in SGLang, with pages of one token.
  DUSTIN_KV_TENSOR_ALONE = 1,
  // `[pages, 2, page_size, kv_heads, head_dim]`, or HND: FlashInfer's single tensor, and that of vLLM's backends that have blocks
  // first.
  DUSTIN_KV_TENSOR_PAGES_FIRST = 2,
  // `[2, pages, page_size, kv_heads, head_dim]`, or HND: that of vLLM's FlashAttention backend.
  DUSTIN_KV_TENSOR_KEYS_FIRST = 3,
  // `[pages, page_size, kv_heads, 2 * head_dim]`, or HND, a head's value behind its key: that of vLLM's backends that pack both.
  DUSTIN_KV_TENSOR_PACKED = 4,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_kv_tensor dustin_kv_tensor;
#else
typedef uint32_t dustin_kv_tensor;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// A stage of a step.
enum dustin_stage
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // Gathering the target's map.
  DUSTIN_STAGE_TARGET_SCORE = 1,
  // Gathering the draft's map.
  DUSTIN_STAGE_DRAFT_SCORE = 2,
  // Choosing sets from the maps.
  DUSTIN_STAGE_SELECTION = 3,
  // Writing a layer's own rows to its caches.
  DUSTIN_STAGE_APPEND = 4,
  // A layer's attention over the sets.
  DUSTIN_STAGE_ATTENTION = 5,
  // A layer's attention over all confirmed tokens.
  DUSTIN_STAGE_FULL_ATTENTION = 6,
  // Moving the accepted rows up in all layers.
  DUSTIN_STAGE_COMPACTION = 7,
  // Capturing queries of a forward of the draft.
  DUSTIN_STAGE_DRAFT_CAPTURE = 8,
  // Finding the drafts to keep, and the next token.
  DUSTIN_STAGE_ACCEPTANCE = 9,
  // Capturing the target's queries of the last accepted row.
  DUSTIN_STAGE_TARGET_CAPTURE = 10,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_stage dustin_stage;
#else
typedef uint32_t dustin_stage;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a draft model's cache holds.
enum dustin_draft_cache
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // All confirmed tokens.
  DUSTIN_DRAFT_CACHE_COMPLETE = 0,
  // No more than sinks and a window: there is no draft's map.
  DUSTIN_DRAFT_CACHE_WINDOWED = 1,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_draft_cache dustin_draft_cache;
#else
typedef uint32_t dustin_draft_cache;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// The item type of a model's scores.
enum dustin_score_type
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // bfloat16.
  DUSTIN_SCORE_TYPE_BF16 = 1,
  // IEEE half precision.
  DUSTIN_SCORE_TYPE_F16 = 2,
  // fp32.
  DUSTIN_SCORE_TYPE_F32 = 3,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_score_type dustin_score_type;
#else
typedef uint32_t dustin_score_type;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

// What a score says of a token.
enum dustin_score_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : uint32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
  // A logit: the token's weight is exp(logit / temperature).
  DUSTIN_SCORE_KIND_LOGITS = 1,
  // A probability, with the temperature at work already.
  DUSTIN_SCORE_KIND_PROBABILITIES = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum dustin_score_kind dustin_score_kind;
#else
typedef uint32_t dustin_score_kind;
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

// All stages of a verification step, planned and compiled for the caches of an engine. May be used by several threads at once, each
// step in a workspace of its own; on a CPU context they take turns.
typedef struct dustin_verifier dustin_verifier;

// What the stages of a verifier's steps work in. Steps that overlap in time need one each; the stages of one step may run on several
// streams.
typedef struct dustin_verifier_workspace dustin_verifier_workspace;

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

// The writing of a step's own rows in one layer: of each sequence the keys and values of its rows, to the positions behind its
// confirmed tokens, and if asked their queries to where attention reads them.
typedef struct dustin_append_problem {
  // sizeof(dustin_append_problem).
  uint32_t struct_size;
  // Sequences of the batch: 1 to 65535.
  uint32_t batch;
  // The most rows of one sequence: 1 to 64.
  uint32_t rows;
  // Rows of the whole batch: at most batch * rows.
  uint32_t total_rows;
  // Pages of one sequence's block table.
  uint32_t table_width;
  // Query heads of this rank whose queries are copied; 0 if none are.
  uint32_t query_heads;
  // The caches of this rank. No two head vectors of theirs overlap.
  struct dustin_paged_kv kv;
} dustin_append_problem;

// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_append_args {
  // sizeof(dustin_append_args).
  uint32_t struct_size;
  // 1 if what is launched right before on the stream leaves `lengths`, `row_starts` and `block_table` as they are, and does not
  // clear the status, as in all layers of a step but the first: then launches may overlap. 0 where nobody knows. A CPU does
  // not look at it.
  uint32_t stable;
  // Physical page numbers, int32 `[batch, table_width]`.
  const void *block_table;
  // Confirmed lengths, int32 `[batch]`: the position of each sequence's first row.
  const void *lengths;
  // First row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
  const void *row_starts;
  // Keys of the rows after rotary embedding, `[total_rows, kv_heads, head_dim]`; on a GPU aligned to 16 bytes, as are the others of 16-bit
  // items.
  const void *key;
  // Values of the rows, likewise.
  const void *value;
  // The layer's key cache.
  void *key_cache;
  // The layer's value cache. On a CPU, where one array holds both, it begins behind the key cache.
  void *value_cache;
  // The workspace, readied by `dustin_operation_initialise`.
  void *workspace;
  // Bytes of the workspace.
  uint64_t workspace_bytes;
  // Queries of the rows, `[total_rows, query_heads, head_dim]`; null unless the problem copies them.
  const void *query;
  // Where attention reads the queries, likewise.
  void *query_copy;
  // Scales of cached keys: reserved, null.
  const void *key_scale;
  // Scales of cached values: reserved, null.
  const void *value_scale;
  // From one sequence's block table to the next.
  uint64_t table_stride;
  // From one row's keys to the next's; a multiple of 8, as are the following.
  uint64_t key_row_stride;
  // From one KV head's keys to the next's.
  uint64_t key_head_stride;
  // From one row's values to the next's.
  uint64_t value_row_stride;
  // From one KV head's values to the next's.
  uint64_t value_head_stride;
  // From one row's queries to the next's.
  uint64_t query_row_stride;
  // From one query head to the next.
  uint64_t query_head_stride;
  // From one row's copied queries to the next's.
  uint64_t query_copy_row_stride;
  // From one query head of the copy to the next.
  uint64_t query_copy_head_stride;
} dustin_append_args;

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

// The compaction of a step's accepted rows in every layer: row number i of a sequence's list goes to position length + i. For
// trees: a chain's accepted rows are there already.
typedef struct dustin_compact_problem {
  // sizeof(dustin_compact_problem).
  uint32_t struct_size;
  // Sequences of the batch: 1 to 65535.
  uint32_t batch;
  // The most rows of one sequence: 1 to 64.
  uint32_t rows;
  // Rows of the whole batch: at most batch * rows.
  uint32_t total_rows;
  // Pages of one sequence's block table.
  uint32_t table_width;
  // Layers: at least 1.
  uint32_t layers;
  // Rows that one sequence's list has room for: 1 to 64.
  uint32_t accepted;
  // 1 if an array says how many entries each list has; 0 if a negative entry ends it.
  uint32_t counted;
  // The caches of this rank, each layer's of the same shape and strides.
  struct dustin_paged_kv kv;
} dustin_compact_problem;

// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_compact_args {
  // sizeof(dustin_compact_args).
  uint32_t struct_size;
  // Reserved: 0.
  uint32_t reserved;
  // Physical page numbers, int32 `[batch, table_width]`.
  const void *block_table;
  // Confirmed lengths before the step, int32 `[batch]`.
  const void *lengths;
  // First row of each sequence and, last, the number of rows, int32 `[batch + 1]`.
  const void *row_starts;
  // The addresses of all layers' key caches, `[layers]`, themselves in the context's memory; aligned to 16 bytes on a GPU.
  const void *key_caches;
  // The addresses of all layers' value caches, likewise.
  const void *value_caches;
  // Accepted rows of each sequence, int32 `[batch, accepted]`: numbers of its own rows, from 0, ascending.
  const void *accepted;
  // The workspace, readied by `dustin_operation_initialise`.
  void *workspace;
  // Bytes of the workspace.
  uint64_t workspace_bytes;
  // Entries of each list, int32 `[batch]`; null unless the problem counts them.
  const void *accepted_counts;
  // From one sequence's block table to the next.
  uint64_t table_stride;
  // From one sequence's list to the next.
  uint64_t accepted_stride;
} dustin_compact_args;

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

// The pages of a batch's sequences in compressed rows, one sequence behind the other, in host memory: FlashInfer's `paged_kv_indptr`,
// `paged_kv_indices` and `paged_kv_last_page_len`.
typedef struct dustin_csr_tables {
  // sizeof(dustin_csr_tables).
  uint32_t struct_size;
  // Sequences.
  uint32_t batch;
  // Where each sequence's pages begin and, last, their number, `[batch + 1]`.
  int32_t *indptr;
  // Physical page numbers, `[capacity]`.
  int32_t *indices;
  // Tokens in each sequence's last page, `[batch]`: from 1 to the page size; without meaning where it has no pages.
  int32_t *last_page_len;
  // Pages that `indices` has room for.
  uint64_t capacity;
} dustin_csr_tables;

// Block tables and confirmed lengths of a batch's sequences, in host memory.
typedef struct dustin_block_tables {
  // sizeof(dustin_block_tables).
  uint32_t struct_size;
  // Sequences.
  uint32_t batch;
  // Physical page numbers, `[batch, table_width]`.
  int32_t *block_table;
  // Confirmed lengths, `[batch]`.
  int32_t *lengths;
  // Pages that a sequence's block table has room for.
  uint32_t table_width;
  // Reserved: 0.
  uint32_t reserved;
  // Items from one sequence's block table to the next; 0 for `table_width`.
  uint64_t stride;
} dustin_block_tables;

// What a launch reads of one layer, in the context's memory. It is part of other structs and never grows.
typedef struct dustin_score_layer {
  // Captured queries after rotary embedding, `[slots, tokens, heads, head_dim]`; on a GPU aligned to 16 bytes, as are keys.
  const void *query;
  // The layer's key cache after rotary embedding.
  const void *key;
  // Scales of cached keys: reserved, null.
  const void *key_scale;
} dustin_score_layer;

// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_score_args {
  // sizeof(dustin_score_args).
  uint32_t struct_size;
  // The softmax scale: usually 1 / sqrt(head_dim).
  float scale;
  // The layers, in the problem's order; the list itself lies in host memory.
  const struct dustin_score_layer *layers;
  // Physical page numbers, int32 `[batch, table_width]`, for every layer.
  const void *block_table;
  // Confirmed lengths, int32 `[batch]`.
  const void *lengths;
  // First position of each sequence's part of the map and, last, the end, int32 `[batch + 1]`. No two parts overlap.
  const void *map_starts;
  // The map, float `[map_capacity]`.
  void *map;
  // The workspace, readied by `dustin_operation_initialise`.
  void *workspace;
  // Bytes of the workspace.
  uint64_t workspace_bytes;
  // The slot of each sequence's queries, int32 `[batch]`, negative where it has none; null: that of its own number.
  const void *slots;
  // From one slot of captured queries to the next; a multiple of 8, as are the other two of queries.
  uint64_t query_slot_stride;
  // From one captured token to the next.
  uint64_t query_token_stride;
  // From one captured head to the next.
  uint64_t query_head_stride;
  // From one sequence's block table to the next.
  uint64_t table_stride;
} dustin_score_args;

// The heads of one layer whose attention is gathered. It is part of other structs and never grows.
typedef struct dustin_score_heads {
  // Query heads of this rank, uint32, ascending.
  const uint32_t *heads;
  // What the probabilities of each are multiplied by; null for the mean over all heads of all layers and all captured tokens.
  const float *weights;
  // Heads.
  uint32_t count;
  // Reserved: 0.
  uint32_t reserved;
} dustin_score_heads;

// An importance map gathered from the heads of one or more layers of one model:
// `map[j] (+)= sum over heads of weight * sum over captured tokens of softmax_j(scale * q . k_j)` over each sequence's confirmed
// positions j.
typedef struct dustin_score_problem {
  // sizeof(dustin_score_problem).
  uint32_t struct_size;
  // Sequences of the batch: 1 to 65535.
  uint32_t batch;
  // Positions of the packed map, the most confirmed tokens of the whole batch: 1 to 2^31 - 1.
  uint32_t map_capacity;
  // Captured query tokens of a sequence: at least 1.
  uint32_t tokens;
  // Sequences that the buffers of captured queries have room for.
  uint32_t slots;
  // Query heads of this rank.
  uint32_t query_heads;
  // Pages of one sequence's block table.
  uint32_t table_width;
  // Element type of queries, a `dustin_dtype`.
  uint32_t dtype;
  // The key caches of this rank, each layer's of the same shape.
  struct dustin_paged_kv kv;
  // The layers' heads, in host memory: read by the call that creates the operation.
  const struct dustin_score_heads *layers;
  // Layers: at least 1.
  uint32_t layer_count;
  // 1 if the map is added to; 0 if it is replaced.
  uint32_t accumulate;
} dustin_score_problem;

// The selection of a batch's verification sets: sinks and recent tokens, then the best of the draft's map, as many as the quota says,
// then the best of the target's. Ties go to the lower position; a set ascends. A sequence of at most `budget` tokens is taken whole.
typedef struct dustin_select_problem {
  // sizeof(dustin_select_problem).
  uint32_t struct_size;
  // Sequences of the batch: 1 to 65535.
  uint32_t batch;
  // Positions of the maps, for all sequences: 1 to 2^31 - 1.
  uint32_t map_capacity;
  // The most positions of one set (k): 1 to 4096, a multiple of the block.
  uint32_t budget;
  // The maps that are read, a `dustin_maps`.
  uint32_t maps;
  // How many come from the draft's map first (m): at most `budget`, a multiple of the block, 0 without a draft's map.
  uint32_t quota;
  // First positions that are always taken.
  uint32_t sinks;
  // Last positions that are always taken.
  uint32_t recent;
  // Positions that are chosen together, by the sum of their scores: up to 256; 0 for 1.
  uint32_t block;
  // Positions that a score is averaged over first: odd, up to 63; 0 for 1.
  uint32_t pooling;
  // Sequences of at most so many positions get -1 in place of a size: attention reads all of them.
  uint32_t everything;
  // Slots of captured queries, if `target_slots` says which one each sequence's target map was scored from; 0 if not.
  uint32_t slots;
  // What a sequence without a target map gets, a `dustin_fallback`.
  uint32_t without_target;
  // Pages of the cache, where positions are looked up for slots of the cache; 0, as the next two, if they are not.
  uint32_t pages;
  // Tokens of a page.
  uint32_t page_size;
  // Pages of one sequence's block table.
  uint32_t table_width;
} dustin_select_problem;

// The arrays of a launch, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_select_args {
  // sizeof(dustin_select_args).
  uint32_t struct_size;
  // Reserved: 0.
  uint32_t reserved;
  // First position of each sequence's part of the maps and, last, the end, int32 `[batch + 1]`.
  const void *map_starts;
  // Confirmed lengths, int32 `[batch]`.
  const void *lengths;
  // Positions of the sets, int32 `[batch, budget]`; what lies behind a set's size is left as it is.
  void *set;
  // Positions of each set, or -1 for all of its sequence, int32 `[batch]`.
  void *set_sizes;
  // The workspace, readied by `dustin_operation_initialise`.
  void *workspace;
  // Bytes of the workspace.
  uint64_t workspace_bytes;
  // The target's map, float `[map_capacity]`; null unless the problem reads it.
  const void *target;
  // The draft's map, likewise.
  const void *draft;
  // The slot that each sequence's target map was scored from, negative where it has none, int32 `[batch]`; null unless the
  // problem has slots.
  const void *target_slots;
  // Physical page numbers, int32 `[batch, table_width]`; null unless positions are looked up.
  const void *block_table;
  // The same tokens as slots of the cache, int32 `[batch, budget]`; null unless positions are looked up.
  void *physical;
  // From one sequence's block table to the next.
  uint64_t table_stride;
  // From one sequence's set to the next.
  uint64_t set_stride;
} dustin_select_args;

// A step's arrays that do not depend on the layer. Those that no stage reads are null. Strides count items; 0 stands for that of an
// array without gaps.
//
// A batch of fewer sequences than `max_batch` has sequences of length 0, without rows, of slot -1 behind them.
typedef struct dustin_step {
  // sizeof(dustin_step).
  uint32_t struct_size;
  // Reserved: 0.
  uint32_t reserved;
  // Confirmed lengths, int32 `[max_batch]`.
  const void *lengths;
  // First row of each sequence and, last, the number of rows, int32 `[max_batch + 1]`.
  const void *row_starts;
  // Physical page numbers of the target's caches, int32 `[max_batch, table_width]`.
  const void *block_table;
  // First position of each sequence's part of the maps and, last, the end, int32 `[max_batch + 1]`. Each part is at least as long as
  // the sequence.
  const void *map_starts;
  // The slot of each sequence's captured target query, int32 `[max_batch]`, negative where there is none; null if the target's map
  // is not read.
  const void *slots;
  // The target's map, float `[max_total_tokens]`; null if it is not read.
  void *target_map;
  // The draft's map, likewise.
  void *draft_map;
  // Positions of the sets, int32 `[max_batch, k]`.
  void *set;
  // The same tokens as slots of the target's caches, int32 `[max_batch, k]`; null unless attention reads them.
  void *physical;
  // Sizes of the sets, int32 `[max_batch]`.
  void *set_sizes;
  // Rows that each row sees, uint64 `[max_batch * rows]`; null unless the mask is a tree.
  const void *masks;
  // Tokens of each sequence that the draft's caches hold, int32 `[max_batch]`: the target's lengths, whose array may be given. Null, as the
  // next two, if the draft's map is not read.
  const void *draft_lengths;
  // Physical page numbers of the draft's caches, int32 `[max_batch, draft_table_width]`.
  const void *draft_block_table;
  // The slot of each sequence's captured draft queries, int32 `[max_batch]`; null: that of its own number.
  const void *draft_slots;
  // From one sequence's block table to the next.
  uint64_t table_stride;
  // From one sequence's block table of the draft to the next.
  uint64_t draft_table_stride;
} dustin_step;

// What acceptance reads and writes, in the context's memory. Strides count items; 0 stands for that of an array without gaps.
typedef struct dustin_acceptance_args {
  // sizeof(dustin_acceptance_args).
  uint32_t struct_size;
  // Reserved: 0.
  uint32_t reserved;
  // The target's scores of the rows, `[max_batch * rows, vocabulary]`; aligned to an item, as are the draft's.
  const void *target;
  // The token of each row, int32 `[max_batch * rows]`.
  const void *tokens;
  // Temperature of each sequence, float `[max_batch]`; 0: greedy.
  const void *temperatures;
  // Seed of each sequence, uint64 `[max_batch]`.
  const void *seeds;
  // How many steps have been taken, one uint64, which each launch counts on.
  void *step;
  // Accepted drafts of each sequence, int32 `[max_batch]`.
  void *accepted;
  // Their tokens and, last, the next pending one, int32 `[max_batch, rows]`; -1 behind it.
  void *emitted;
  // Accepted rows, the pending token's first, int32 `[max_batch, rows]`; -1 behind them: what `dustin_accepted` names.
  void *path;
  // The last of them, int32 `[max_batch]`: what `dustin_capture_rows` names.
  void *last_rows;
  // Confirmed lengths behind the step, int32 `[max_batch]`; not where the step's own stand, if compaction follows.
  void *new_lengths;
  // The draft's scores; null unless the problem has them.
  const void *draft;
  // The row of the draft's scores that the drafts behind each row were drawn from, int32 `[max_batch * rows]`; null unless there are such
  // scores and the mask is a tree.
  const void *draft_rows;
  // The row that each row continues, counted from its sequence's first, int32 `[max_batch * rows]`, -1 for the first; null unless the mask
  // is a tree.
  const void *parents;
  // From one row of the target's scores to the next.
  uint64_t target_row_stride;
  // From one row of the draft's scores to the next.
  uint64_t draft_row_stride;
  // From one sequence's emitted tokens to the next's.
  uint64_t emitted_stride;
  // From one sequence's path to the next.
  uint64_t path_stride;
} dustin_acceptance_args;

// One layer's queries, of which some are captured: of a step's rows, of a forward of the draft, or of prompts.
typedef struct dustin_capture_rows {
  // sizeof(dustin_capture_rows).
  uint32_t struct_size;
  // Rows of the array.
  uint32_t total_rows;
  // Queries of the rows after rotary embedding, 16-bit items `[total_rows, query_heads, head_dim]`; aligned to 16 bytes on a GPU.
  const void *query;
  // First row of each sequence and, last, the number of rows, int32 `[max_batch + 1]`.
  const void *row_starts;
  // The row to capture of each sequence, counted from its first, int32 `[max_batch]`; null: each sequence's last row, as behind a
  // prompt or a draft's forward.
  const void *rows;
  // The slot of each sequence, int32 `[max_batch]`, no two the same; negative: nothing is captured. Null: that of its own number.
  const void *slots;
  // From one row to the next; 0 for rows without gaps.
  uint64_t query_row_stride;
  // From one query head to the next; 0 for heads without gaps.
  uint64_t query_head_stride;
} dustin_capture_rows;

// A model as this rank holds it.
typedef struct dustin_model {
  // sizeof(dustin_model).
  uint32_t struct_size;
  // Element type of queries, keys, values and outputs, a `dustin_dtype`.
  uint32_t dtype;
  // The whole model's geometry.
  const struct dustin_geometry *geometry;
  // The caches of one layer, with the rank's KV heads; all layers' are alike.
  struct dustin_paged_kv kv;
  // Tensor-parallel ranks that share the model; 0 for 1.
  uint32_t tp_size;
  // This rank's number.
  uint32_t tp_rank;
  // The softmax scale, positive; 0 for 1 / sqrt(head_dim).
  float scale;
  // Of a draft model, what its cache holds, a `dustin_draft_cache`.
  uint32_t draft_cache;
  // Scales of cached items: reserved, null.
  const void *key_scale;
  // Likewise.
  const void *value_scale;
} dustin_model;

// Query heads of one layer, numbered over the whole model. It is part of other structs and never grows.
typedef struct dustin_layer_heads {
  // The heads, uint32, ascending.
  const uint32_t *heads;
  // Heads.
  uint32_t count;
  // The layer.
  uint32_t layer;
} dustin_layer_heads;

// How a verification set is chosen: heads, budgets and exceptions.
typedef struct dustin_rules {
  // sizeof(dustin_rules).
  uint32_t struct_size;
  // The budget k: confirmed tokens of a set, sinks and recent ones included; a multiple of the block.
  uint32_t k;
  // The target's layers and heads whose mean attention is its map, ascending.
  const struct dustin_layer_heads *target_heads;
  // The draft's layers and heads, likewise; null if m is 0.
  const struct dustin_layer_heads *draft_heads;
  // Entries of `target_heads`.
  uint32_t target_layers;
  // Entries of `draft_heads`.
  uint32_t draft_layers;
  // The quota m: tokens from the draft's map first; m = k means that it decides alone.
  uint32_t m;
  // First tokens that are always read.
  uint32_t sinks;
  // Last confirmed tokens that are always read.
  uint32_t recent;
  // Tokens that a score is averaged over first: odd; 0 for 1.
  uint32_t pooling;
  // Tokens that are chosen together; 0 for 1.
  uint32_t block;
  // Sequences of at most so many confirmed tokens have all of them read.
  uint32_t everything;
  // What a sequence without a captured target query gets, a `dustin_fallback`.
  uint32_t without_target;
  // Reserved: 0.
  uint32_t reserved;
} dustin_rules;

// How a verifier accepts drafts: over the target's vocabulary, trees where the mask is one, else chains.
typedef struct dustin_acceptance {
  // sizeof(dustin_acceptance).
  uint32_t struct_size;
  // Item type of the target's scores, a `dustin_score_type`.
  uint32_t target_type;
  // What they say, a `dustin_score_kind`.
  uint32_t target_kind;
  // Item type of the scores that drafts were drawn from; 0 if there are none: then each draft counts as certain.
  uint32_t draft_type;
  // What they say.
  uint32_t draft_kind;
  // Rows of them: for chains `max_batch * (rows - 1)`, those of a sequence one behind the other.
  uint32_t draft_rows;
  // 1 if the drafts behind one row of a tree were drawn without replacement.
  uint32_t without_replacement;
  // Reserved: 0.
  uint32_t reserved;
} dustin_acceptance;

// What a verifier is made for: models, limits and rules. All of it is known before the first step, and read by the call that
// makes the verifier.
typedef struct dustin_verifier_problem {
  // sizeof(dustin_verifier_problem).
  uint32_t struct_size;
  // The most sequences of a batch. Steps of fewer give those that are missing length 0, no rows and slot -1.
  uint32_t max_batch;
  // The most confirmed tokens of all sequences together. Maps and workspace follow it.
  uint32_t max_total_tokens;
  // The most tokens of one sequence, the step's own rows included. Block tables have room for them.
  uint32_t max_length;
  // The step's own rows of one sequence: at least gamma + 1, up to 64.
  uint32_t rows;
  // Draft tokens one after the other, for a tree its depth.
  uint32_t gamma;
  // Slots of captured queries: at least `max_batch`.
  uint32_t slots;
  // Reserved: 0.
  uint32_t reserved;
  // The model that is served.
  const struct dustin_model *target;
  // The model that proposes tokens; null if its attention is not read.
  const struct dustin_model *draft;
  // How sets are chosen; null: as the profile's selection for the pair of the following names says.
  const struct dustin_rules *rules;
  // The target's name, by which the profile knows it; null if there are rules.
  const char *target_name;
  // The draft's name, likewise.
  const char *draft_name;
  // Which of the step's own rows a row sees, a `dustin_mask`.
  uint32_t mask;
  // 1 if attention gives the log-sum-exp, too.
  uint32_t lse;
  // What attention reads of a set, a `dustin_entries`.
  uint32_t entries;
  // 1 if appending brings the queries to where attention reads them.
  uint32_t copies_queries;
  // 1 if kernels of attention are chosen so that a sequence's bits are the same in batches of every size.
  uint32_t batch_invariant;
  // Reserved: 0.
  uint32_t reserved_too;
  // How drafts are accepted; null if the engine does that itself.
  const struct dustin_acceptance *acceptance;
} dustin_verifier_problem;

// The caches and captured queries of an engine, in the context's memory: 16-bit items, aligned to 16 bytes. The lists of addresses
// lie in host memory, and are read by the call that makes the verifier.
typedef struct dustin_engine_memory {
  // sizeof(dustin_engine_memory).
  uint32_t struct_size;
  // The target's layers.
  uint32_t target_layers;
  // The key cache of each of the target's layers.
  void *const *target_keys;
  // The value cache of each of the target's layers.
  void *const *target_values;
  // The target's captured queries, `[slots, 1, heads, head_dim]`, the heads as `dustin_verifier_captured` lists them; null where there
  // are none.
  const void *target_queries;
  // The key cache of each of the draft's layers; null where its map is not read.
  const void *const *draft_keys;
  // The draft's captured queries, `[slots, gamma, heads, head_dim]`, likewise.
  const void *draft_queries;
  // The draft's layers; 0 where its map is not read.
  uint32_t draft_layers;
  // Reserved: 0.
  uint32_t reserved;
  // Scales of the target's cached keys: reserved, null.
  const void *key_scales;
  // Scales of the target's cached values: reserved, null.
  const void *value_scales;
} dustin_engine_memory;

// Items of the arrays that an engine brings beside its caches, lengths and block tables; 0 where an array is not needed.
typedef struct dustin_verifier_sizes {
  // sizeof(dustin_verifier_sizes), set by the caller.
  uint32_t struct_size;
  // Pages of a sequence's block table in the target's caches.
  uint32_t target_table_width;
  // Bytes of workspace, aligned to 256.
  uint64_t workspace_bytes;
  // The target's map, float.
  uint64_t target_map;
  // The draft's map, float.
  uint64_t draft_map;
  // Positions of the sets, int32 `[max_batch, k]`.
  uint64_t set;
  // Slots of the sets, int32 `[max_batch, k]`.
  uint64_t physical;
  // Sizes of the sets, int32 `[max_batch]`.
  uint64_t set_sizes;
  // The target's captured queries, 16 bits.
  uint64_t target_queries;
  // The draft's captured queries, 16 bits.
  uint64_t draft_queries;
  // Accepted rows, int32 `[max_batch, gamma + 1]`; where the verifier accepts, paths, int32 `[max_batch, rows]`.
  uint64_t accepted;
  // First query rows, and first positions of the maps' parts, int32 `[max_batch + 1]` each.
  uint64_t starts;
  // Rows that each row sees, uint64 `[max_batch * rows]`.
  uint64_t masks;
  // Pages of a sequence's block table in the draft's caches.
  uint32_t draft_table_width;
  // Reserved: 0.
  uint32_t reserved;
  // The target's scores, `[max_batch * rows, vocabulary]`; none where the engine accepts.
  uint64_t target_scores;
  // The draft's scores.
  uint64_t draft_scores;
  // Emitted tokens, int32 `[max_batch, rows]`.
  uint64_t emitted;
} dustin_verifier_sizes;

// The step's own rows of one layer, as its projections leave them: 16-bit items, aligned to 16 bytes on a GPU.
typedef struct dustin_append_rows {
  // sizeof(dustin_append_rows).
  uint32_t struct_size;
  // As in `dustin_append_args`: not in the first layer behind the selection.
  uint32_t stable;
  // Keys of the rows after rotary embedding, `[max_batch * rows, kv_heads, head_dim]`.
  const void *key;
  // Values of the rows, likewise.
  const void *value;
  // Queries of the rows, `[max_batch * rows, query_heads, head_dim]`; null unless appending copies them.
  const void *query;
  // Where attention reads the queries, likewise.
  void *query_copy;
  // From one row's keys to the next's; a multiple of 8, as are the following.
  uint64_t key_row_stride;
  // From one KV head's keys to the next's.
  uint64_t key_head_stride;
  // From one row's values to the next's.
  uint64_t value_row_stride;
  // From one KV head's values to the next's.
  uint64_t value_head_stride;
  // From one row's queries to the next's.
  uint64_t query_row_stride;
  // From one query head to the next.
  uint64_t query_head_stride;
  // From one row's copied queries to the next's.
  uint64_t query_copy_row_stride;
  // From one query head of the copy to the next.
  uint64_t query_copy_head_stride;
} dustin_append_rows;

// What one layer's attention reads and writes of the step's own rows.
typedef struct dustin_attention_rows {
  // sizeof(dustin_attention_rows).
  uint32_t struct_size;
  // The item type of outputs, a `dustin_output_type`.
  uint32_t output_type;
  // Queries of the rows after rotary embedding, `[max_batch * rows, query_heads, head_dim]`; aligned to 16 bytes on a GPU, as are
  // outputs.
  const void *query;
  // Outputs, likewise, of the type `output_type`.
  void *output;
  // Log-sum-exp, float `[max_batch * rows, query_heads]`; null unless the problem asks for it.
  void *lse;
  // From one query row to the next; a multiple of 8, as are the following.
  uint64_t query_row_stride;
  // From one query head to the next.
  uint64_t query_head_stride;
  // From one output row to the next.
  uint64_t output_row_stride;
  // From one output head to the next.
  uint64_t output_head_stride;
  // The base of the log-sum-exp, a `dustin_log_base`.
  uint32_t lse_base;
  // As in `dustin_attention_args`: in every layer whose rows were appended right before.
  uint32_t stable;
} dustin_attention_rows;

// Which of the step's own rows were accepted.
typedef struct dustin_accepted {
  // sizeof(dustin_accepted).
  uint32_t struct_size;
  // Reserved: 0.
  uint32_t reserved;
  // The accepted rows of each sequence, int32 `[max_batch, gamma + 1]`, where the verifier accepts its paths: numbers of its own rows, from
  // 0, ascending.
  const void *rows;
  // Rows of each list, int32 `[max_batch]`; null where the verifier accepts: then -1 ends a list of up to `rows` entries.
  const void *counts;
  // From one sequence's list to the next; 0 for lists without gaps.
  uint64_t stride;
} dustin_accepted;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Plans appending, and on a GPU compiles it. No profile has a choice for it.
//
// # Safety
// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
dustin_status dustin_append_create(const struct dustin_context *context,
                                   const struct dustin_append_problem *problem,
                                   struct dustin_operation **operation);

// Launches appending. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
// for the legacy default one. On a CPU `stream` is null.
//
// # Safety
// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, nobody else
// touches the places of the rows and the workspace, and no two rows have the same place; the operation or its context is kept.
// What arrays contain is checked. `args` is null or a struct of the size that its first field says.
dustin_status dustin_append_launch(const struct dustin_operation *operation,
                                   const struct dustin_append_args *args,
                                   void *stream);

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

// Plans attention, and on a GPU compiles it: some tens of milliseconds for a variant that the context has not met. `profile` is
// null for the built-in choice.
//
// # Safety
// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
dustin_status dustin_attention_create(const struct dustin_context *context,
                                      const struct dustin_profile *profile,
                                      const struct dustin_attention_problem *problem,
                                      struct dustin_operation **operation);

// What the last call that failed on this thread was refused for: one sentence that names the operation, the field, what it
// must be and what it is. Empty if none has failed. Valid until the next call that fails on this thread; calls that succeed
// leave it as it is.
const char *dustin_last_error(void);

// The version of the ABI that the library has: rises with every function and every field that is added. Nothing is removed or
// changed.
uint32_t dustin_abi_version(void);

// Plans compaction, and on a GPU compiles it. No profile has a choice for it.
//
// # Safety
// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
dustin_status dustin_compact_create(const struct dustin_context *context,
                                    const struct dustin_compact_problem *problem,
                                    struct dustin_operation **operation);

// Launches compaction. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`,
// null for the legacy default one. On a CPU `stream` is null.
//
// # Safety
// Until the launch has ended, all arrays and caches exist with the shapes that problem and arguments say, no two caches overlap, nobody
// writes the arrays, nobody else touches the places of the rows and the workspace, and no two rows have the same place; the
// operation or its context is kept. What arrays contain is checked. `args` is null or a struct of the size that its first field
// says.
dustin_status dustin_compact_launch(const struct dustin_operation *operation,
                                    const struct dustin_compact_args *args,
                                    void *stream);

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

// Writes the block tables and confirmed lengths of the sequences of `csr` to `tables`: -1 behind a sequence's pages, and behind
// `csr`'s sequences tables of -1 and lengths of 0.
//
// Compressed rows have room for a step's own rows, which are not confirmed: `row_starts`, `[csr->batch + 1]`, says how many each sequence
// has; null if none. If the call fails, some tables may be written already.
//
// # Safety
// `csr` and `tables` are null or structs of the size that their first field says, whose arrays have the items that they say;
// `row_starts` is null or has as many as `indptr`; those of `tables` are nobody else's meanwhile.
dustin_status dustin_csr_to_block_tables(const struct dustin_csr_tables *csr,
                                         uint32_t page_size,
                                         const int32_t *row_starts,
                                         const struct dustin_block_tables *tables);

// Writes the sequences of `tables` to `csr` in compressed rows, and to `pages` how many pages they have: the reverse of
// `dustin_csr_to_block_tables`. With `row_starts`, `[tables->batch + 1]`, the rows have room for a step's own rows behind the confirmed
// tokens; null if there are none. If the call fails, some rows may be written already.
//
// # Safety
// As `dustin_csr_to_block_tables`, the arrays of `csr` being those that are written; `pages` is null or may be written.
dustin_status dustin_csr_from_block_tables(const struct dustin_block_tables *tables,
                                           uint32_t page_size,
                                           const int32_t *row_starts,
                                           const struct dustin_csr_tables *csr,
                                           uint64_t *pages);

// Fills `kv` with the cache in a tensor of `dimensions` dimensions, whose sizes and strides are as PyTorch and DLPack have them: strides
// count items, and those of dimensions of one item are not looked at. `tensor` is a `dustin_kv_tensor`, `layout` a
// `dustin_kv_layout`, `dtype` a `dustin_dtype`. `value` gets the items from the tensor's start, where the keys begin, to where the
// values do: the value cache of a launch is the tensor's address and twice as many bytes. It is 0 where they are in a tensor of
// their own. Nothing is copied.
//
// # Safety
// `shape` and `strides` are null or have `dimensions` numbers; `kv` and `value` are null or may be written.
dustin_status dustin_paged_kv_from_tensor(const int64_t *shape,
                                          const int64_t *strides,
                                          uint32_t dimensions,
                                          uint32_t tensor,
                                          uint32_t layout,
                                          uint32_t dtype,
                                          struct dustin_paged_kv *kv,
                                          uint64_t *value);

// Fills `kv` with the cache in a tensor of keys and one of values, of four dimensions each in the order of `layout`, a
// `dustin_kv_layout`: FlashInfer's tuple, and SGLang's pools viewed with pages of one token. Both must be alike.
//
// # Safety
// The sizes and strides are null or 4 numbers each; `kv` is null or may be written.
dustin_status dustin_paged_kv_from_pair(const int64_t *key_shape,
                                        const int64_t *key_strides,
                                        const int64_t *value_shape,
                                        const int64_t *value_strides,
                                        uint32_t layout,
                                        uint32_t dtype,
                                        struct dustin_paged_kv *kv);

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

// Launches score gathering. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a
// `CUstream`, null for the legacy default one. On a CPU `stream` is null.
//
// # Safety
// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
// touches map and workspace; the operation is kept. What arrays contain is checked, but for parts of the map that overlap, whose
// results are undefined. `args` is null or a struct of the size that its first field says, whose list has as many items as the
// problem has layers.
dustin_status dustin_score_launch(const struct dustin_operation *operation,
                                  const struct dustin_score_args *args,
                                  void *stream);

// Plans score gathering; on a GPU compiles it, puts tables of the heads into device memory, and waits for these. `profile` is null
// for the built-in choice.
//
// # Safety
// `problem` is null or a struct of the size that its first field says, whose lists have as many items as it says; `operation` is
// null or may be written.
dustin_status dustin_score_create(const struct dustin_context *context,
                                  const struct dustin_profile *profile,
                                  const struct dustin_score_problem *problem,
                                  struct dustin_operation **operation);

// Plans selection, and on a GPU compiles it. `profile` is null for the built-in choice.
//
// # Safety
// `problem` is null or a struct of the size that its first field says; `operation` is null or may be written.
dustin_status dustin_select_create(const struct dustin_context *context,
                                   const struct dustin_profile *profile,
                                   const struct dustin_select_problem *problem,
                                   struct dustin_operation **operation);

// Launches selection. On a GPU it allocates nothing, does not wait, and can be captured into a graph; `stream` is a `CUstream`, null
// for the legacy default one. On a CPU `stream` is null.
//
// # Safety
// Until the launch has ended, all arrays exist with the shapes that problem and arguments say, nobody writes them, and nobody else
// touches sets, sizes and workspace; the operation or its context is kept. What arrays contain is checked. `args` is null or a
// struct of the size that its first field says.
dustin_status dustin_select_launch(const struct dustin_operation *operation,
                                   const struct dustin_select_args *args,
                                   void *stream);

// The name of a status, such as `DUSTIN_STATUS_OK`: a text for ever. Numbers that are none have one, too.
const char *dustin_status_name(int32_t status);

// Finds which drafts each sequence keeps, its next token, and its length behind the step, by the same random numbers on every rank: what
// `dustin_verifier_compact` and `dustin_verifier_capture_target` then read. An error if the problem has no `dustin_acceptance`.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_accept(const struct dustin_verifier *verifier,
                                     const struct dustin_verifier_workspace *workspace,
                                     const struct dustin_step *step,
                                     const struct dustin_acceptance_args *args,
                                     void *stream);

// Captures the queries of `layer` that the target's map comes from in the next step: behind acceptance of each sequence's last accepted
// row, behind a prompt of its last. They go to the engine's `target_queries`. A layer none of whose heads are captured on this
// rank is left alone. An error if no set depends on the map.
//
// # Safety
// As `dustin_verifier_score_target`; nobody else touches the captured queries.
dustin_status dustin_verifier_capture_target(const struct dustin_verifier *verifier,
                                             const struct dustin_verifier_workspace *workspace,
                                             uint32_t layer,
                                             const struct dustin_capture_rows *rows,
                                             void *stream);

// Captures the queries of `layer` of the draft's forward `token`, from 0 to gamma - 1, likewise, to the engine's `draft_queries`.
//
// # Safety
// As `dustin_verifier_capture_target`.
dustin_status dustin_verifier_capture_draft(const struct dustin_verifier *verifier,
                                            const struct dustin_verifier_workspace *workspace,
                                            uint32_t layer,
                                            uint32_t token,
                                            const struct dustin_capture_rows *rows,
                                            void *stream);

// Plans and compiles all stages for the caches and captured queries at `memory`. On a GPU it puts tables of heads and layers into device
// memory and waits for these; on a CPU the verifier has as many threads as the context, of its own. `profile` is null for built-in
// choices. A profile for other shapes is no error: `dustin_verifier_report` says what serves each stage, and why.
//
// # Safety
// `problem` and `memory` are null or structs of the size that their first field says, and so is all that they point to; what `memory`
// names exists in the context, with the shapes of the problem, until the verifier is destroyed; `verifier` is null or may be
// written.
dustin_status dustin_verifier_create(const struct dustin_context *context,
                                     const struct dustin_profile *profile,
                                     const struct dustin_verifier_problem *problem,
                                     const struct dustin_engine_memory *memory,
                                     struct dustin_verifier **verifier);

// How many items a problem's arrays have: before the memory exists that a verifier is made with. `workspace_bytes` is left at 0.
//
// # Safety
// `problem` and `sizes` are null or structs of the size that their first field says, and so is all that the problem points to.
dustin_status dustin_verifier_problem_sizes(const struct dustin_profile *profile,
                                            const struct dustin_verifier_problem *problem,
                                            struct dustin_verifier_sizes *sizes);

// How many items the arrays of a verifier's steps have, and how many bytes their workspace.
//
// # Safety
// `sizes` is null or a struct of the size that its first field says.
dustin_status dustin_verifier_get_sizes(const struct dustin_verifier *verifier, struct dustin_verifier_sizes *sizes);

// The heads whose queries are captured on this rank, in the order in which their queries stand side by side: of the target, or with
// `draft` = 1 of the draft. Writes up to `capacity` layers and heads, the heads by this rank's numbers, and to `count` how many
// there are.
//
// # Safety
// `layers` and `heads` have room for `capacity` numbers each, or it is 0; `count` is null or may be written.
dustin_status dustin_verifier_captured(const struct dustin_verifier *verifier,
                                       uint32_t draft,
                                       uint32_t *layers,
                                       uint32_t *heads,
                                       size_t capacity,
                                       size_t *count);

// Frees a verifier, once its steps and the graphs that captured them have ended. Null is nothing to free.
dustin_status dustin_verifier_destroy(struct dustin_verifier *verifier);

// What serves each stage, where that choice comes from, and the reasons why it is nothing better: a line for each.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_verifier_report(const struct dustin_verifier *verifier, char *text, size_t capacity, size_t *length);

// Where the choice that serves a `dustin_stage` comes from, a `dustin_source`.
//
// # Safety
// `source` is null or may be written.
dustin_status dustin_verifier_stage_source(const struct dustin_verifier *verifier, uint32_t stage, uint32_t *source);

// The stable id of the variant that serves a `dustin_stage`; no text where there is nothing to launch.
//
// Copies up to `capacity` - 1 bytes and a NUL to `text`, and the length of the whole to `length`; either may be null, `text` if
// `capacity` is 0.
//
// # Safety
// `capacity` bytes at `text` may be written, and `length`, unless they are null.
dustin_status dustin_verifier_stage_variant(const struct dustin_verifier *verifier,
                                            uint32_t stage,
                                            char *text,
                                            size_t capacity,
                                            size_t *length);

// Gathers this rank's share of the target's map. It depends on the step before alone, so it may run while the draft model drafts, on a
// stream of its own. An error if no set depends on that map.
//
// On a GPU this and the other stages allocate nothing, do not wait, and can be captured into a graph.
//
// # Safety
// For this and the other stages: until the launch has ended, the arrays that the stage reads and writes, caches and captured queries
// exist with the shapes of the verifier's problem, nobody writes what it reads or touches what it writes, nor the workspace, of which
// no two steps use the same at a time, and verifier and workspace are kept. `stream` is null or one of the context. Structs are null
// or of the size that their first field says.
dustin_status dustin_verifier_score_target(const struct dustin_verifier *verifier,
                                           const struct dustin_verifier_workspace *workspace,
                                           const struct dustin_step *step,
                                           void *stream);

// Gathers this rank's share of the draft's map, once the draft model's forwards have left their queries and keys. An error if no set
// depends on that map.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_score_draft(const struct dustin_verifier *verifier,
                                          const struct dustin_verifier_workspace *workspace,
                                          const struct dustin_step *step,
                                          void *stream);

// Chooses a set for each sequence from the maps, which under tensor parallelism the caller has summed over the ranks before: that is
// the one point for its collective.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_select(const struct dustin_verifier *verifier,
                                     const struct dustin_verifier_workspace *workspace,
                                     const struct dustin_step *step,
                                     void *stream);

// Writes the step's own rows of `layer` behind the confirmed tokens of its caches and, if the problem says so, its queries to where
// attention reads them.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_append(const struct dustin_verifier *verifier,
                                     const struct dustin_verifier_workspace *workspace,
                                     uint32_t layer,
                                     const struct dustin_step *step,
                                     const struct dustin_append_rows *rows,
                                     void *stream);

// Attention of `layer` over each sequence's set and the step's own rows.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_attention(const struct dustin_verifier *verifier,
                                        const struct dustin_verifier_workspace *workspace,
                                        uint32_t layer,
                                        const struct dustin_step *step,
                                        const struct dustin_attention_rows *rows,
                                        void *stream);

// Attention of `layer` over all confirmed tokens and the step's own rows, without loss: what `dustin_verifier_attention`
// approximates.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_full_attention(const struct dustin_verifier *verifier,
                                             const struct dustin_verifier_workspace *workspace,
                                             uint32_t layer,
                                             const struct dustin_step *step,
                                             const struct dustin_attention_rows *rows,
                                             void *stream);

// Moves the accepted rows up behind the confirmed tokens in all layers of the target. A chain's rows are there already: that is for
// trees.
//
// # Safety
// As `dustin_verifier_score_target`.
dustin_status dustin_verifier_compact(const struct dustin_verifier *verifier,
                                      const struct dustin_verifier_workspace *workspace,
                                      const struct dustin_step *step,
                                      const struct dustin_accepted *accepted,
                                      void *stream);

// A workspace in the `bytes` bytes at `memory`, of the size that `dustin_verifier_get_sizes` says and aligned to 256 bytes, or in new
// memory if `memory` is null. Readied in the stream's order. On a CPU there is no memory to bring: `memory` is null.
//
// # Safety
// The memory exists in the verifier's context until the result is destroyed, and nobody else touches it; `stream` is one of the
// context; `workspace` is null or may be written.
dustin_status dustin_verifier_workspace_create(const struct dustin_verifier *verifier,
                                               void *memory,
                                               uint64_t bytes,
                                               void *stream,
                                               struct dustin_verifier_workspace **workspace);

// What a `dustin_stage` has found wrong with the contents of arrays since that was cleared: the highest `dustin_fault`, 0 if there is
// none, and the highest sequence that has it. Waits for the stream.
//
// # Safety
// `stream` is one of the context; `fault` and `sequence` are null or may be written.
dustin_status dustin_verifier_workspace_status(const struct dustin_verifier_workspace *workspace,
                                               uint32_t stage,
                                               void *stream,
                                               uint32_t *fault,
                                               uint32_t *sequence);

// Forgets what all stages have found, in the stream's order. Does not wait.
//
// # Safety
// `stream` is one of the context.
dustin_status dustin_verifier_workspace_clear_status(const struct dustin_verifier_workspace *workspace, void *stream);

// Frees a workspace, once the steps that work in it have ended. Null is nothing to free.
dustin_status dustin_verifier_workspace_destroy(struct dustin_verifier_workspace *workspace);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* DUSTIN_H */
