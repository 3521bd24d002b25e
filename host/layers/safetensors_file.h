/* An open .safetensors file, as its readers share it. */
#ifndef ATTN_LAYERS_SAFETENSORS_FILE_H
#define ATTN_LAYERS_SAFETENSORS_FILE_H

#include "layers/layer_file.h"

typedef struct attn_safetensors_entry {
    clattn_safetensors_entry told;
    int64_t begin, end; /* where the data lie */
    bool has_type, has_shape, has_offsets;
} attn_safetensors_entry;

struct clattn_safetensors {
    clattn_runtime *runtime;
    FILE *stream;
    char *header;
    int64_t data_at, data_size; /* bytes */
    attn_safetensors_entry *entries;
    int64_t count, room;
    clattn_safetensors_note *notes; /* strings inside the header */
    int64_t note_count, note_room;
    clattn_report *report; /* while opening or reading */
};

#endif
