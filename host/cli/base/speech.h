/* The library speaks of fields of structs; a user has typed words. */
#ifndef ATTN_CLI_BASE_SPEECH_H
#define ATTN_CLI_BASE_SPEECH_H

#include <stddef.h>

/** Copies a report of the library with the program's words for its fields; what does not fit is left out. */
void attn_speak(const char *report, char *spoken, size_t size);

#endif
