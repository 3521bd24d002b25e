/*
 * The decoder of a word model that learns, and how it is asked. All that is computed is the layers' library's.
 */
#include "words/words_learner.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "words/words_learner_file.h"

int attn_learner_session(attn_learner *l, const attn_options *options, attn_error *error) {
    if (attn_session_open(&l->session, options, error) != ATTN_DONE) {
        return error->status;
    }
    return l->session.listed ? attn_fail(error, ATTN_USAGE, "--engine %s: words takes one engine", options->engine)
                             : ATTN_DONE;
}

static clattn_decoder_options decoder_options(const attn_learner *l, int64_t batch, bool learn) {
    const int64_t *whole = l->settings.whole;
    clattn_decoder_options options = CLATTN_DECODER_OPTIONS_INIT;
    options.words = l->words, options.batch = batch, options.length = whole[ATTN_LEARN_CONTEXT];
    options.dim = whole[ATTN_LEARN_DIM], options.heads = whole[ATTN_LEARN_HEADS];
    options.blocks = whole[ATTN_LEARN_BLOCKS], options.seed = (uint64_t)whole[ATTN_LEARN_SEED], options.learn = learn;
    options.plan.engine = l->session.engine, options.plan.device = l->session.device;
    options.plan.blocks = &l->session.blocks;
    options.backward = options.plan;
    return options;
}

static clattn_status make_optimiser(attn_learner *l, clattn_report *report) {
    clattn_optimiser_options options = CLATTN_OPTIMISER_OPTIONS_INIT;
    options.kind = (clattn_optimiser_kind)l->settings.whole[ATTN_LEARN_OPTIMISER];
    return clattn_optimiser_create(l->parameters, &options, &l->optimiser, report);
}

/* Room for logits, and the embeddings as they were drawn. */
static clattn_status make_memory(attn_learner *l, int64_t rows) {
    clattn_parameter table;
    clattn_status status = clattn_parameters_get(l->parameters, 0, &table);
    if (status != CLATTN_OK) {
        return status;
    }
    l->logits = clattn_allocate(l->session.runtime, rows * l->words * (int64_t)sizeof(float));
    l->start = clattn_allocate(l->session.runtime, table.count * (int64_t)sizeof(float));
    if (!l->logits || !l->start) {
        return CLATTN_OUT_OF_MEMORY;
    }
    memcpy(l->start, table.value, (size_t)table.count * sizeof(float));
    return CLATTN_OK;
}

int attn_learner_make(attn_learner *l, int64_t batch, bool learn, attn_error *error) {
    clattn_report report = { 0 };
    l->words = l->text->word_count + 1;
    l->end = l->text->word_count;
    l->dim = l->settings.whole[ATTN_LEARN_DIM];
    const clattn_decoder_options options = decoder_options(l, batch, learn);
    clattn_status status = clattn_decoder_create(l->session.runtime, &options, &l->decoder, &report);
    if (status == CLATTN_OK) {
        l->parameters = clattn_decoder_get_parameters(l->decoder);
        status = clattn_decoder_get_info(l->decoder, &l->info);
    }
    status = status == CLATTN_OK ? make_memory(l, learn ? batch * options.length : 1) : status;
    status = status == CLATTN_OK && learn ? make_optimiser(l, &report) : status;
    if (status == CLATTN_OK && !learn) {
        l->past_ids = clattn_allocate(l->session.runtime, options.length * (int64_t)sizeof *l->past_ids);
        status = l->past_ids ? clattn_decoder_past_create(l->decoder, &options.plan, &l->past, &report)
                             : CLATTN_OUT_OF_MEMORY;
    }
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

int attn_learner_open(attn_learner *l, const char *path, attn_word_text *text, const attn_options *options,
                      attn_error *error) {
    l->text = text;
    if (attn_learner_session(l, options, error) != ATTN_DONE || attn_learner_file_open(l, path, error) != ATTN_DONE ||
        attn_learner_make(l, 1, false, error) != ATTN_DONE) {
        return error->status;
    }
    return attn_learner_file_parameters(l, error);
}

void attn_learner_close(attn_learner *l) {
    clattn_runtime *runtime = l->session.runtime;
    free(l->losses.list);
    free(l->validations.list);
    if (runtime) {
        clattn_safetensors_close(l->file);
        clattn_optimiser_destroy(l->optimiser);
        clattn_decoder_past_destroy(l->past);
        clattn_release(runtime, l->past_ids);
        clattn_decoder_destroy(l->decoder);
        clattn_release(runtime, l->logits);
        clattn_release(runtime, l->start);
        attn_session_close(&l->session);
    }
    *l = (attn_learner){ 0 };
}

int attn_learner_forward(attn_learner *l, const int64_t *ids, int64_t count, attn_error *error) {
    clattn_report report = { 0 };
    clattn_status status = clattn_decoder_forward(l->decoder, ids, count, l->logits, &report);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

/* Only what follows the words that are kept; all of it where they are others, or the last one is to be seen again. */
static int step_on(attn_learner *l, const int64_t *ids, int64_t count, attn_error *error) {
    clattn_report report = { 0 };
    int64_t kept = clattn_decoder_past_get_length(l->past);
    bool goes_on = kept < count && memcmp(l->past_ids, ids, (size_t)kept * sizeof *ids) == 0;
    kept = goes_on ? kept : 0;
    clattn_status status = clattn_decoder_past_rewind(l->past, kept);
    if (status == CLATTN_OK) {
        status = clattn_decoder_step(l->past, ids + kept, count - kept, l->logits, &report);
    }
    memcpy(l->past_ids, ids, (size_t)count * sizeof *ids);
    return status == CLATTN_OK ? ATTN_DONE : attn_fail_status(error, status, &report);
}

int attn_learner_next(attn_learner *l, const int64_t *ids, int64_t count, const float **logits, attn_error *error) {
    int64_t context = l->settings.whole[ATTN_LEARN_CONTEXT], seen = count < context ? count : context;
    if (step_on(l, ids + count - seen, seen, error) != ATTN_DONE) {
        return error->status;
    }
    *logits = l->logits;
    for (int64_t w = 0; w < l->words; w++) {
        if (!((*logits)[w] - (*logits)[w] == 0)) {
            return attn_fail(error, ATTN_USAGE, "%s: its numbers are not finite", l->path);
        }
    }
    return ATTN_DONE;
}

bool attn_losses_add(attn_losses *losses, double loss) {
    if (!attn_word_text_grow((void **)&losses->list, losses->count, &losses->capacity, sizeof *losses->list)) {
        return false;
    }
    losses->list[losses->count++] = (float)loss;
    return true;
}

/* ------------------------------------------------------------------------------------------------ in words */

static int64_t count_numbers(const attn_learner *l) {
    int64_t count = 0;
    for (int64_t n = 0; n < clattn_parameters_count(l->parameters); n++) {
        clattn_parameter one;
        count += clattn_parameters_get(l->parameters, n, &one) == CLATTN_OK ? one.count : 0;
    }
    return count;
}

void attn_learner_describe(const attn_learner *l, char *text, size_t size) {
    const int64_t *whole = l->settings.whole;
    int64_t blocks = whole[ATTN_LEARN_BLOCKS], heads = whole[ATTN_LEARN_HEADS];
    text[0] = '\0';
    attn_text_add(text, size, "%" PRId64 " block%s of %" PRId64 " head%s, vectors of %" PRId64 ", context %" PRId64,
                  blocks, blocks > 1 ? "s" : "", heads, heads > 1 ? "s" : "", l->dim, whole[ATTN_LEARN_CONTEXT]);
    attn_text_add(text, size, ", %" PRId64 " parameters, engine %s", count_numbers(l), l->info.engine);
}

void attn_learner_json(const attn_learner *l, FILE *file) {
    const int64_t *whole = l->settings.whole;
    char device[300];
    attn_session_device_name(&l->session, l->info.device, device, sizeof device);
    fprintf(file, "\"engine\": \"%s\", \"device\": ", l->info.engine);
    attn_json_write_string(file, device);
    fprintf(file, ", \"vocabulary\": %" PRId64 ", \"context\": %" PRId64 ", \"dim\": %" PRId64 ", \"heads\": %" PRId64,
            l->text->word_count, whole[ATTN_LEARN_CONTEXT], l->dim, whole[ATTN_LEARN_HEADS]);
    fprintf(file, ", \"blocks\": %" PRId64 ", \"parameters\": %" PRId64 ", \"seed\": %" PRId64 ", \"steps\": %" PRId64,
            whole[ATTN_LEARN_BLOCKS], count_numbers(l), whole[ATTN_LEARN_SEED], l->steps);
    fputs(", ", file);
}
