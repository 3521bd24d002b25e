/*
 * The list of block sizes and what follows from it. Knows no engine and no device. To add a size: its column in
 * kernels/tuning, and a row here.
 */
#include "tuning/block_sizes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum {
    MOST_TILE_ROWS = 32,
    MOST_TILE = 8,         /* rows, and keys, of a work-item of GPU-shaped kernels with tiles */
    MOST_MATRIX_KEYS = 128, /* of a block on matrix units */
    MOST_SCORES = 4096      /* of a block of additive attention, in local memory */
};

/* Column, define, least, most, step. */
#define SIZE(c, d, from, to, by) .column = c, .define = d, .least = from, .most = to, .step = by

const attn_block_table attn_block_tables[] = {
    { .program = "attention_fused_cpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM_MAX", 16, ATTN_MOST_DIMS, 16) }, /* a multiple of every vector */
          { SIZE("tile_rows", "TILE_ROWS", 1, MOST_TILE_ROWS, 1), .rules = { { "value_rows", 1, 0 } } },
          { SIZE("tile_vectors", "TILE_VECTORS", 2, 2, 2) }, /* results are wrong with one */
          { SIZE("value_rows", "VALUE_ROWS", 1, MOST_TILE_ROWS, 1) },
          { SIZE("value_vectors", "VALUE_VECTORS", 1, 8, 1) },
          { SIZE("block_key", "BLOCK_KEY", 1, 1024, 1), .source = ATTN_OR_BLOCK_KEY, .rules = { { "tile_vectors", ATTN_VECTOR, 32 } } },
          { SIZE("item_tiles", "ITEM_TILES", 1, ATTN_MOST_ITEM_FLOATS, 1) },
      } },
    { .program = "attention_fused_gpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM", 1, ATTN_MOST_DIMS, 1) },
          { SIZE("block_query", "BLOCK_QUERY", 1, MOST_TILE * ATTN_MOST_GROUP, 1), .source = ATTN_OR_BLOCK_QUERY,
            .rules = { { "threads_y", 1, MOST_TILE } } },
          { SIZE("block_key", "BLOCK_KEY", 1, MOST_TILE * ATTN_MOST_GROUP, 1), .source = ATTN_OR_BLOCK_KEY,
            .rules = { { "threads_x", 1, MOST_TILE } } },
          { SIZE("threads_x", "THREADS_X", 4, ATTN_MOST_GROUP, 4) },
          { SIZE("threads_y", "THREADS_Y", 2, ATTN_MOST_GROUP, 2) },
          { SIZE("slice", "SLICE", 8, ATTN_MOST_DIMS, 8) },
          { SIZE("keep_query", "KEEP_QUERY", 0, 1, 1) },
          { SIZE("value_vectors", "VALUE_VECTORS", 1, 4, 1) },
      } },
    { .program = "attention_backward_cpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM_MAX", 16, ATTN_MOST_DIMS, 16) }, /* a multiple of every vector */
          { SIZE("tile_rows", "TILE_ROWS", 1, MOST_TILE_ROWS, 1), .rules = { { "value_rows", 1, 0 } } },
          { SIZE("tile_vectors", "TILE_VECTORS", 1, 8, 1) },
          { SIZE("value_rows", "VALUE_ROWS", 1, MOST_TILE_ROWS, 1) },
          { SIZE("value_vectors", "VALUE_VECTORS", 1, 8, 1) },
          { SIZE("walk", "WALK", 1, 1024, 1), .rules = { { "tile_vectors", ATTN_VECTOR, 0 } } },
          { SIZE("item_tiles", "ITEM_TILES", 1, ATTN_MOST_ITEM_FLOATS, 1) },
      } },
    { .program = "attention_backward_gpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM", 1, ATTN_MOST_DIMS, 1) },
          { SIZE("block_query", "BLOCK_QUERY", 1, MOST_TILE * ATTN_MOST_GROUP, 1), .source = ATTN_OR_BLOCK_QUERY,
            .rules = { { "threads_y", 1, MOST_TILE } } },
          { SIZE("block_key", "BLOCK_KEY", 1, MOST_TILE * ATTN_MOST_GROUP, 1), .source = ATTN_OR_BLOCK_KEY,
            .rules = { { "threads_y", 1, MOST_TILE } } },
          { SIZE("walk", "WALK", 1, MOST_TILE * ATTN_MOST_GROUP, 1), .rules = { { "threads_x", 1, MOST_TILE } } },
          { SIZE("threads_x", "THREADS_X", 4, ATTN_MOST_GROUP, 4) },
          { SIZE("threads_y", "THREADS_Y", 2, ATTN_MOST_GROUP, 2) },
          { SIZE("slice", "SLICE", 8, ATTN_MOST_DIMS, 8) },
          { SIZE("value_vectors", "VALUE_VECTORS", 1, 4, 1) },
      } },
    { .program = "attention_fused_mma",
      .sizes = {
          { SIZE("head_dim_max", "DIM", 32, ATTN_MOST_MATRIX_DIMS, 32) },
          { SIZE("block_query", "BLOCK_QUERY", 16, ATTN_MOST_GROUP, 16), .source = ATTN_OR_BLOCK_QUERY, .rules = { { "warps", 16, 2 } } },
          { SIZE("block_key", "BLOCK_KEY", 16, MOST_MATRIX_KEYS, 16), .source = ATTN_OR_BLOCK_KEY },
          { SIZE("warps", "WARPS", 1, 32, 1) },
          { SIZE("stages", "STAGES", 1, 3, 1) },
          { SIZE("lazy", "LAZY", 0, 1, 1) },
          { SIZE("query_local", "QUERY_LOCAL", 0, 1, 1) },
          { SIZE("registers", NULL, 0, 255, 1) },
      } },
    { .program = "attention_fused_tf32",
      .sizes = {
          { SIZE("head_dim_max", "DIM", 32, ATTN_MOST_MATRIX_DIMS, 32), .rules = { { "split", 32, 0 } } },
          { SIZE("block_query", "BLOCK_QUERY", 16, ATTN_MOST_GROUP, 16), .source = ATTN_OR_BLOCK_QUERY },
          { SIZE("block_key", "BLOCK_KEY", 8, MOST_MATRIX_KEYS, 8), .source = ATTN_OR_BLOCK_KEY },
          { SIZE("warps", "WARPS", 1, 32, 1), .rules = { { "split", 1, 0 } } },
          { SIZE("stages", "STAGES", 1, 3, 1) },
          { SIZE("query_kept", "QUERY_KEPT", 0, 1, 1) },
          { SIZE("split", "SPLIT", 1, 2, 1) },
      } },
    { .program = "attention_decode_cpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM_MAX", 16, ATTN_MOST_DIMS, 16) }, /* a multiple of every vector */
          { SIZE("tile_vectors", "TILE_VECTORS", 2, 4, 2) },           /* the softmax takes pairs of vectors */
          { SIZE("tile_step", "TILE_STEP", 1, 16, 1) },
          { SIZE("block_key", "BLOCK_KEY", 1, 1024, 1), .rules = { { "tile_vectors", ATTN_VECTOR, 0 }, { "tile_step", 1, 0 } } },
      } },
    { .program = "attention_decode_gpu",
      .sizes = {
          { SIZE("head_dim_max", "DIM", 1, ATTN_MOST_DIMS, 1) },
          { SIZE("threads", "THREADS", 4, ATTN_MOST_GROUP, ATTN_POWERS), .rules = { { "lanes", 1, 0 } } },
          { SIZE("lanes", "LANES", 4, 32, ATTN_POWERS), .rules = { { "rows", 1, 0 } } },
          { SIZE("keys", "KEYS", 1, 16, ATTN_POWERS) },
          { SIZE("rows", "ROWS", 1, 16, ATTN_POWERS) },
          { SIZE("warp", "WARP", 0, 1, 1) },
      } },
    { .program = "additive_cpu", /* a work-item a row */
      .sizes = {
          { SIZE("head_dim_max", NULL, 1, ATTN_ANY_DIM, 1) },
          { SIZE("block_key", "BLOCK", 1, MOST_SCORES, 1), .source = ATTN_OR_BLOCK_KEY },
          { SIZE("vector", "VECTOR", 4, ATTN_WIDEST_VECTOR, ATTN_POWERS) },
      } },
    { .program = "additive_gpu", /* a work-group a row */
      .sizes = {
          { SIZE("head_dim_max", NULL, 1, ATTN_ANY_DIM, 1) },
          { SIZE("threads", "GROUP", 1, ATTN_MOST_GROUP, 1) },
          { SIZE("block_key", "BLOCK", 1, MOST_SCORES, 1), .source = ATTN_OR_BLOCK_KEY },
          { SIZE("vector", "VECTOR", 4, ATTN_WIDEST_VECTOR, ATTN_POWERS) },
      } },
    { .program = NULL },
};

static int find_size(const attn_block_table *table, const char *column) {
    int k = 0;
    while (table->sizes[k].column && strcmp(table->sizes[k].column, column) != 0) {
        k++;
    }
    return table->sizes[k].column ? k : -1;
}

static bool is_power_of_two(int64_t n) {
    return n > 0 && (n & (n - 1)) == 0;
}

static clattn_status check_limits(const attn_block_table *table, const attn_block_size *size, int64_t value,
                                  clattn_report *report) {
    const bool powers = size->step == ATTN_POWERS;
    if (value >= size->least && value <= size->most && (powers ? is_power_of_two(value) : value % size->step == 0)) {
        return CLATTN_OK;
    }
    char step[32] = "power of two";
    if (!powers) {
        snprintf(step, sizeof step, "multiple of %" PRId64, size->step);
    }
    return attn_refuse(report, CLATTN_UNSUPPORTED, "%s: %s: %" PRId64 " is not a %s from %" PRId64 " to %" PRId64,
                       table->program, size->column, value, step, size->least, size->most);
}

static clattn_status check_rule(const attn_blocks *blocks, int index, const attn_block_rule *rule, int64_t vector,
                                clattn_report *report) {
    const int64_t value = blocks->values[index], of = attn_blocks_get(blocks, rule->of);
    const int64_t step = of * (rule->times == ATTN_VECTOR ? vector : rule->times);
    if (step > 0 && value % step == 0 && (rule->most == 0 || value <= rule->most * step)) {
        return CLATTN_OK;
    }
    char most[40] = "";
    if (rule->most != 0) {
        snprintf(most, sizeof most, " up to %" PRId64, rule->most * step);
    }
    return attn_refuse(report, CLATTN_UNSUPPORTED,
                       "%s: %s: %" PRId64 " is not a multiple of %" PRId64 "%s, for %s of %" PRId64, blocks->table->program,
                       blocks->table->sizes[index].column, value, step, most, rule->of, of);
}

/* Each number by itself first: rules multiply them. */
static clattn_status check(const attn_blocks *blocks, int64_t vector, clattn_report *report) {
    const attn_block_size *sizes = blocks->table->sizes;
    for (int k = 0; sizes[k].column; k++) {
        ATTN_TRY(check_limits(blocks->table, &sizes[k], blocks->values[k], report));
    }
    for (int k = 0; sizes[k].column; k++) {
        for (int r = 0; r < 2 && sizes[k].rules[r].of; r++) {
            ATTN_TRY(check_rule(blocks, k, &sizes[k].rules[r], vector, report));
        }
    }
    return CLATTN_OK;
}

static int64_t take(const attn_block_size *size, const attn_tuning_row *row, const clattn_block_override *override) {
    const int64_t instead = !override                           ? 0
                            : size->source == ATTN_OR_BLOCK_QUERY ? override->block_query
                            : size->source == ATTN_OR_BLOCK_KEY   ? override->block_key
                                                                  : 0;
    return instead != 0 ? instead : attn_tuning_get(row, size->column);
}

clattn_status attn_blocks_take(const char *program, const attn_tuning_row *row, const clattn_block_override *override,
                               int64_t vector, attn_blocks *blocks, clattn_report *report) {
    const attn_block_table *table = attn_block_tables;
    while (table->program && strcmp(table->program, program) != 0) {
        table++;
    }
    *blocks = (attn_blocks){ .table = table };
    if (!table->program) {
        return attn_refuse(report, CLATTN_INTERNAL, "%s: a program without a list of sizes", program);
    }
    for (int k = 0; table->sizes[k].column; k++) {
        blocks->values[k] = take(&table->sizes[k], row, override);
    }
    return check(blocks, vector, report);
}

int64_t attn_blocks_get(const attn_blocks *blocks, const char *column) {
    const int k = find_size(blocks->table, column);
    return k < 0 ? 0 : blocks->values[k];
}

void attn_blocks_set(attn_blocks *blocks, const char *column, int64_t value) {
    const int k = find_size(blocks->table, column);
    if (k >= 0) {
        blocks->values[k] = value;
    }
}

void attn_blocks_options(const attn_blocks *blocks, char *text, size_t size) {
    const attn_block_size *sizes = blocks->table->sizes;
    size_t length = 0;
    text[0] = '\0';
    for (int k = 0; sizes[k].column && length < size; k++) {
        if (sizes[k].define) {
            length += (size_t)snprintf(text + length, size - length, " -D%s=%" PRId64, sizes[k].define, blocks->values[k]);
        }
    }
}
