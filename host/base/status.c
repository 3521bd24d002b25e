/*
 * Statuses as names and sentences. The list itself is CLATTN_STATUS_LIST in clattn.h: a new status is one line there.
 */
#include "clattn/clattn.h"

const char *clattn_status_name(clattn_status status) {
    switch (status) {
#define STATUS_NAME(name, number, message)                                                                             \
    case CLATTN_##name: return #name;
        CLATTN_STATUS_LIST(STATUS_NAME)
#undef STATUS_NAME
    }
    return "UNKNOWN";
}

const char *clattn_status_message(clattn_status status) {
    switch (status) {
#define STATUS_MESSAGE(name, number, message)                                                                          \
    case CLATTN_##name: return message;
        CLATTN_STATUS_LIST(STATUS_MESSAGE)
#undef STATUS_MESSAGE
    }
    return "not a status of this library";
}

int clattn_version(void) {
    return CLATTN_VERSION;
}
