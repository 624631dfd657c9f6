// One layer of a verification step on the CPU, through the C ABI: score, select, append, attend.
//
// A synthetic cache of 300 tokens holds one token, the needle, that the captured query looks for. Its importance map must single it out,
// a set of 32 must have it, and attention over a set that covers the whole context must agree with attention over the whole cache.
// On a GPU the calls are the same: dustin_context_create_cuda or dustin_context_borrow_cuda, device memory, a stream.

#include "dustin.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    LENGTH = 300, // confirmed tokens
    NEEDLE = 123,
    ROWS = 3, // the pending token and two drafts
    QUERY_HEADS = 4,
    KV_HEADS = 2,
    HEAD_DIM = 64,
    PAGE_SIZE = 16,
    PAGES = 24,
    TABLE_WIDTH = 20,
    SMALL = 32, // tokens of a set
    CACHE = PAGES * PAGE_SIZE * KV_HEADS * HEAD_DIM,
    QUERIES = ROWS * QUERY_HEADS * HEAD_DIM,
    OWN = ROWS * KV_HEADS * HEAD_DIM
};

#define CLEAR(value) (memset(&(value), 0, sizeof(value)), (value).struct_size = sizeof(value))

// Ends the program with what the library says, unless a call succeeded.
static void require(dustin_status status, const char *call) {
    if (status != DUSTIN_STATUS_OK) {
        fprintf(stderr, "%s: %s: %s\n", call, dustin_status_name(status), dustin_last_error());
        exit(EXIT_FAILURE);
    }
}

// Ends the program unless the result is as it must be.
static void expect(int holds, const char *what) {
    printf("%-4s %s\n", holds ? "ok" : "FAIL", what);
    if (!holds)
        exit(EXIT_FAILURE);
}

static uint16_t bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof(bits));
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Numbers from -1 to 1, the same in every run.
static float number(void) {
    static uint64_t state = 42;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) / (float)(1 << 23) - 1.0f;
}

static void fill(uint16_t *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        items[i] = bf16(number());
}

// An operation and the workspace of its launches.
typedef struct {
    dustin_operation *operation;
    void *workspace;
    uint64_t bytes;
} planned;

static planned plan(dustin_operation *operation) {
    planned own = {operation, NULL, 0};
    char report[256];
    require(dustin_operation_workspace_bytes(operation, &own.bytes), "dustin_operation_workspace_bytes");
    own.workspace = malloc(own.bytes);
    require(dustin_operation_initialise(operation, own.workspace, own.bytes, NULL), "dustin_operation_initialise");
    require(dustin_operation_variant(operation, report, sizeof(report), NULL), "dustin_operation_variant");
    printf("     %s\n", report);
    return own;
}

// Frees an operation whose launches must not have found anything wrong.
static void finish(planned own) {
    uint32_t fault, sequence;
    require(dustin_operation_status(own.operation, own.workspace, own.bytes, NULL, &fault, &sequence), "dustin_operation_status");
    expect(fault == DUSTIN_FAULT_NONE, "the launches found nothing wrong");
    require(dustin_operation_destroy(own.operation), "dustin_operation_destroy");
    free(own.workspace);
}

static uint16_t keys[CACHE], values[CACHE], queries[QUERIES], own_keys[OWN], own_values[OWN], captured[QUERY_HEADS * HEAD_DIM];
static int32_t block_table[TABLE_WIDTH], set[LENGTH], set_sizes[1];
static const int32_t lengths[1] = {LENGTH}, row_starts[2] = {0, ROWS}, map_starts[2] = {0, LENGTH};
static float map[LENGTH], sparse[QUERIES], full[QUERIES];

static const float scale = 0.125f; // 1 / sqrt(HEAD_DIM)
static dustin_paged_kv kv;
static dustin_context *context;

static void make_cache(void) {
    kv.pages = PAGES;
    kv.page_size = PAGE_SIZE;
    kv.kv_heads = KV_HEADS;
    kv.head_dim = HEAD_DIM;
    kv.dtype = DUSTIN_DTYPE_BF16;
    require(dustin_paged_kv_set_strides(&kv, DUSTIN_KV_LAYOUT_NHD, 0), "dustin_paged_kv_set_strides");
    for (int page = 0; page < TABLE_WIDTH; page++)
        block_table[page] = (page * 7 + 5) % PAGES; // 7 and 24 have no common divisor: no page twice
    fill(keys, CACHE);
    fill(values, CACHE);
    fill(queries, QUERIES);
    fill(own_keys, OWN);
    fill(own_values, OWN);
    // The captured query of each head is the needle's key, three times as long.
    size_t page = (size_t)block_table[NEEDLE / PAGE_SIZE], token = NEEDLE % PAGE_SIZE;
    for (int head = 0; head < QUERY_HEADS; head++) {
        size_t kv_head = (size_t)head / (QUERY_HEADS / KV_HEADS);
        for (size_t item = 0; item < HEAD_DIM; item++) {
            float key = number();
            size_t place = page * kv.page_stride + token * kv.token_stride + kv_head * kv.kv_head_stride + item;
            if (head % (QUERY_HEADS / KV_HEADS) == 0)
                keys[place] = bf16(key);
            uint32_t bits = (uint32_t)keys[place] << 16;
            memcpy(&key, &bits, sizeof(key));
            captured[(size_t)head * HEAD_DIM + item] = bf16(3.0f * key);
        }
    }
}

static void score(void) {
    static const uint32_t heads[QUERY_HEADS] = {0, 1, 2, 3};
    dustin_score_heads layer_heads;
    memset(&layer_heads, 0, sizeof(layer_heads));
    layer_heads.heads = heads;
    layer_heads.count = QUERY_HEADS;

    dustin_score_problem problem;
    CLEAR(problem);
    problem.batch = problem.tokens = problem.slots = 1;
    problem.map_capacity = LENGTH;
    problem.query_heads = QUERY_HEADS;
    problem.table_width = TABLE_WIDTH;
    problem.dtype = DUSTIN_DTYPE_BF16;
    problem.kv = kv;
    problem.layers = &layer_heads;
    problem.layer_count = 1;
    dustin_operation *operation;
    require(dustin_score_create(context, NULL, &problem, &operation), "dustin_score_create");
    planned own = plan(operation);

    dustin_score_layer layer = {captured, keys, NULL};
    dustin_score_args args;
    CLEAR(args);
    args.scale = scale;
    args.layers = &layer;
    args.block_table = block_table;
    args.lengths = lengths;
    args.map_starts = map_starts;
    args.map = map;
    args.workspace = own.workspace;
    args.workspace_bytes = own.bytes;
    require(dustin_score_launch(operation, &args, NULL), "dustin_score_launch");

    int best = 0;
    float sum = 0.0f;
    for (int position = 0; position < LENGTH; position++) {
        sum += map[position];
        if (map[position] > map[best])
            best = position;
    }
    expect(fabsf(sum - 1.0f) < 1e-4f, "the map is a mean of probabilities");
    expect(best == NEEDLE, "the needle has the highest score");
    finish(own);
}

// A set of at most `budget` tokens.
static void choose(uint32_t budget) {
    dustin_select_problem problem;
    CLEAR(problem);
    problem.batch = 1;
    problem.map_capacity = LENGTH;
    problem.budget = budget;
    problem.maps = DUSTIN_MAPS_TARGET;
    problem.sinks = 2;
    problem.recent = 8;
    dustin_operation *operation;
    require(dustin_select_create(context, NULL, &problem, &operation), "dustin_select_create");
    planned own = plan(operation);

    dustin_select_args args;
    CLEAR(args);
    args.map_starts = map_starts;
    args.lengths = lengths;
    args.set = set;
    args.set_sizes = set_sizes;
    args.target = map;
    args.workspace = own.workspace;
    args.workspace_bytes = own.bytes;
    require(dustin_select_launch(operation, &args, NULL), "dustin_select_launch");

    int found = 0;
    for (int32_t entry = 0; entry < set_sizes[0]; entry++)
        found |= set[entry] == NEEDLE;
    expect(found && set_sizes[0] == (int32_t)budget, "the set is full and has the needle");
    finish(own);
}

static void append(void) {
    dustin_append_problem problem;
    CLEAR(problem);
    problem.batch = 1;
    problem.rows = problem.total_rows = ROWS;
    problem.table_width = TABLE_WIDTH;
    problem.kv = kv;
    dustin_operation *operation;
    require(dustin_append_create(context, &problem, &operation), "dustin_append_create");
    planned own = plan(operation);

    dustin_append_args args;
    CLEAR(args);
    args.block_table = block_table;
    args.lengths = lengths;
    args.row_starts = row_starts;
    args.key = own_keys;
    args.value = own_values;
    args.key_cache = keys;
    args.value_cache = values;
    args.workspace = own.workspace;
    args.workspace_bytes = own.bytes;
    require(dustin_append_launch(operation, &args, NULL), "dustin_append_launch");
    finish(own);
}

// Attention over sets of at most `budget` tokens, over all tokens if it is 0.
static void attend(uint32_t budget, float *output) {
    dustin_attention_problem problem;
    CLEAR(problem);
    problem.batch = 1;
    problem.rows = problem.total_rows = ROWS;
    problem.query_heads = QUERY_HEADS;
    problem.table_width = TABLE_WIDTH;
    problem.dtype = DUSTIN_DTYPE_BF16;
    problem.confirmed = budget ? DUSTIN_CONFIRMED_SETS : DUSTIN_CONFIRMED_EVERYTHING;
    problem.set_capacity = budget;
    problem.kv = kv;
    dustin_operation *operation;
    require(dustin_attention_create(context, NULL, &problem, &operation), "dustin_attention_create");
    planned own = plan(operation);

    dustin_attention_args args;
    CLEAR(args);
    args.scale = scale;
    args.query = queries;
    args.key = keys;
    args.value = values;
    args.block_table = block_table;
    args.lengths = lengths;
    args.row_starts = row_starts;
    args.set = budget ? set : NULL;
    args.set_sizes = budget ? set_sizes : NULL;
    args.output = output;
    args.output_type = DUSTIN_OUTPUT_TYPE_F32;
    args.workspace = own.workspace;
    args.workspace_bytes = own.bytes;
    require(dustin_attention_launch(operation, &args, NULL), "dustin_attention_launch");
    finish(own);
}

static float largest_difference(void) {
    float largest = 0.0f;
    for (int i = 0; i < QUERIES; i++)
        largest = fmaxf(largest, fabsf(sparse[i] - full[i]));
    return largest;
}

int main(void) {
    require(dustin_context_create_cpu(2, &context), "dustin_context_create_cpu");
    make_cache();
    score();
    append();
    attend(0, full);
    choose(SMALL);
    attend(SMALL, sparse);
    printf("     32 of 300 tokens are %.3f off\n", (double)largest_difference());
    expect(largest_difference() > 1e-3f, "a small set is not the whole cache");
    choose(LENGTH);
    attend(LENGTH, sparse);
    expect(largest_difference() < 1e-5f, "where the set covers the context, sparse attention is full attention");

    dustin_status status = dustin_operation_source(NULL, NULL);
    expect(status == DUSTIN_STATUS_NO_SUCH_HANDLE, dustin_last_error());
    require(dustin_context_destroy(context), "dustin_context_destroy");
    return EXIT_SUCCESS;
}
