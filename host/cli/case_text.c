/*
 * Lines of words: single cases, lists and doubling ranges, suites. The words themselves are in case.c. Checks here what
 * concerns several words at once; whether the problem as a whole is possible the library says.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>

#include "case.h"
#include "clattn/clattn_inspect.h"

enum { ATTN_CASES_MAX = 4096, ATTN_WORDS_MAX = 64, ATTN_VALUES_MAX = 256 };

const char attn_case_help[] =
    "PROBLEM: words name=value in any order\n"
    "  batch=1 query_heads=1 kv_heads=(query_heads) query_length key_length=(query_length) head_dim "
    "value_dim=(head_dim) past=0\n"
    "  type=fp32|fp16|bf16|fp64  causal=no|yes  align=top_left|bottom_right|past|N  window=L,R (`open` for an open "
    "side)\n"
    "  scale=(1/sqrt(head_dim))  softcap=0  seed=0  layout=bhsd|bshd\n"
    "  allow_tf32=no|yes (yes: fp32 may be rounded to TF32 before products, where a matrix unit wants it)\n"
    "  key_length counts past and new keys. align has an effect with causal, window and alibi only.\n"
    "for problems that draw their own data (plan, verify, bench):\n"
    "  mask=DIMS[,bits]  bias=DIMS[,storage]  (1 to 4 sizes, each 1 or full, such as 1,1,q,k)  alibi=yes  sinks=yes\n"
    "  query_lengths=random|a,b,..  key_lengths=random|a,b,..  offsets=a,b,..  (one a batch entry)\n"
    "  weights=raw|softcap|bias|softmax  weights_heads=FIRST,COUNT  weights_rows=FIRST,COUNT\n"
    "  strides=packed|random  poison=yes (NaN in unused memory)  spread=1 (standard deviation of queries and keys)\n"
    "In verify and bench a word may hold a list 64,128 or a doubling range 128..8192; all combinations are taken.\n"
    "Later releases: dropout packed page ring rotary direction=backward.\n";

int attn_case_read(attn_case *c, int count, char **words, attn_error *error) {
    for (int w = 0; w < count; w++) {
        size_t length = strcspn(words[w], "=");
        for (int before = 0; before < w; before++) {
            if (words[w][length] == '=' && strncmp(words[before], words[w], length + 1) == 0) {
                return attn_fail(error, ATTN_BAD, "%.*s is given twice", (int)length, words[w]);
            }
        }
        if (attn_case_word(c, words[w], error) != ATTN_DONE) {
            return error->status;
        }
    }
    if (c->has_align && c->offsets.kind != ATTN_LIST_NONE) {
        return attn_fail(error, ATTN_BAD, "align and offsets are both given; one of them says where the queries stand");
    }
    return ATTN_DONE;
}

int attn_case_refuse_later(const attn_case *c, attn_error *error) {
    if (c->later[0] != '\0') {
        return attn_fail(error, ATTN_CANNOT, "%s is of a later release", c->later);
    }
    return ATTN_DONE;
}

static int attn_check_list(const attn_case *c, const attn_case_list *list, const char *name, int64_t most,
                           attn_error *error) {
    if (list->kind != ATTN_LIST_GIVEN) {
        return ATTN_DONE;
    }
    if (list->count != c->problem.batch) {
        return attn_fail(error, ATTN_BAD, "%s: %lld numbers for batch=%lld", name, (long long)list->count,
                         (long long)c->problem.batch);
    }
    for (int64_t b = 0; b < list->count; b++) {
        if (most >= 0 && list->values[b] > most) {
            return attn_fail(error, ATTN_BAD, "%s: %lld is beyond the length %lld", name, (long long)list->values[b],
                             (long long)most);
        }
    }
    return ATTN_DONE;
}

int attn_case_complete(attn_case *c, attn_error *error) {
    clattn_problem resolved;
    clattn_report report = { 0 };
    if (!c->has_query_length) {
        return attn_fail(error, ATTN_BAD, "query_length is missing");
    }
    if (!c->has_head_dim) {
        return attn_fail(error, ATTN_BAD, "head_dim is missing");
    }
    clattn_status status = clattn_problem_resolve(&c->problem, &resolved, &report);
    if (status != CLATTN_OK) {
        return attn_fail_status(error, status, &report);
    }
    if (attn_check_list(c, &c->query_lengths, "query_lengths", resolved.query_length, error) != ATTN_DONE ||
        attn_check_list(c, &c->key_lengths, "key_lengths", resolved.key_length, error) != ATTN_DONE ||
        attn_check_list(c, &c->offsets, "offsets", -1, error) != ATTN_DONE) {
        return error->status;
    }
    return attn_case_refuse_later(c, error);
}

/* ------------------------------------------------------------------------------------ lists and ranges */

/* The values one word may take. */
typedef struct attn_choice {
    char name[64];
    int count, now;
    char (*values)[64]; /* NULL: one value, the word as it stands */
    const char *whole;
} attn_choice;

static bool attn_is_list_by_nature(const char *name) {
    static const char *const names[] = { "window",  "mask",   "bias",          "query_lengths", "key_lengths",
                                         "offsets", "rotary", "weights_heads", "weights_rows" };
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (strcmp(name, names[n]) == 0) {
            return true;
        }
    }
    return false;
}

/* FIRST..LAST: FIRST, doubled while it is not above LAST. */
static int attn_add_range(attn_choice *choice, const char *part, attn_error *error) {
    const char *dots = strstr(part, "..");
    char first_text[64];
    int64_t first = 0, last = 0;
    snprintf(first_text, sizeof first_text, "%.*s", (int)(dots - part), part);
    int bad = attn_text_integer(first_text, &first);
    bad = bad != 0 ? bad : attn_text_integer(dots + 2, &last);
    if (bad != 0 || first < 1 || last < first) {
        return attn_fail(error, ATTN_BAD, "%s=%s: %s", choice->name, part,
                         bad == 2 ? "the number does not fit 63 bits" : "a range is FIRST..LAST, 1 <= FIRST <= LAST");
    }
    for (int64_t value = first; value <= last; value *= 2) {
        if (choice->count == ATTN_VALUES_MAX) {
            return attn_fail(error, ATTN_BAD, "%s: more than %d values", choice->name, ATTN_VALUES_MAX);
        }
        snprintf(choice->values[choice->count++], 64, "%lld", (long long)value);
        if (value > INT64_MAX / 2) {
            break;
        }
    }
    return ATTN_DONE;
}

static int attn_read_choice(attn_choice *choice, const char *word, attn_error *error) {
    size_t length = strcspn(word, "=");
    *choice = (attn_choice){ .count = 1, .whole = word };
    if (word[length] == '\0' || length > 63) {
        return attn_fail(error, ATTN_BAD, "%.200s: not a word name=value", word);
    }
    snprintf(choice->name, sizeof choice->name, "%.*s", (int)length, word);
    const char *value = word + length + 1;
    if (attn_is_list_by_nature(choice->name) || (strchr(value, ',') == NULL && strstr(value, "..") == NULL)) {
        return ATTN_DONE;
    }
    choice->values = malloc(ATTN_VALUES_MAX * sizeof *choice->values);
    if (choice->values == NULL) {
        return attn_fail(error, ATTN_CANNOT, "out of memory");
    }
    choice->count = 0;
    for (const char *at = value;; at++) {
        char part[64];
        size_t part_length = strcspn(at, ",");
        if (part_length == 0 || part_length > 63 || choice->count == ATTN_VALUES_MAX) {
            return attn_fail(error, ATTN_BAD, "%s=%.200s: a list of values is wanted", choice->name, value);
        }
        snprintf(part, sizeof part, "%.*s", (int)part_length, at);
        if (strstr(part, "..") == NULL) {
            memcpy(choice->values[choice->count++], part, sizeof part);
        } else if (attn_add_range(choice, part, error) != ATTN_DONE) {
            return error->status;
        }
        at += part_length;
        if (*at == '\0') {
            return ATTN_DONE;
        }
    }
}

static int attn_cases_append(attn_cases *cases, const attn_case *c, attn_error *error) {
    if (cases->count == ATTN_CASES_MAX) {
        return attn_fail(error, ATTN_BAD, "more than %d problems at once", ATTN_CASES_MAX);
    }
    if (cases->count == cases->capacity) {
        int64_t capacity = cases->capacity == 0 ? 16 : 2 * cases->capacity;
        attn_case *items = realloc(cases->items, (size_t)capacity * sizeof *items);
        if (items == NULL) {
            return attn_fail(error, ATTN_CANNOT, "out of memory");
        }
        cases->items = items;
        cases->capacity = capacity;
    }
    cases->items[cases->count++] = *c;
    return ATTN_DONE;
}

/* The case of the present choices. */
static int attn_add_combination(attn_cases *cases, attn_choice *choices, int count, attn_error *error) {
    char single[ATTN_WORDS_MAX][130];
    char *words[ATTN_WORDS_MAX];
    attn_case *c = malloc(sizeof *c);
    if (c == NULL) {
        return attn_fail(error, ATTN_CANNOT, "out of memory");
    }
    for (int w = 0; w < count; w++) {
        words[w] = single[w];
        if (choices[w].values == NULL) {
            words[w] = (char *)(uintptr_t)choices[w].whole;
        } else {
            snprintf(single[w], sizeof single[w], "%.63s=%.63s", choices[w].name, choices[w].values[choices[w].now]);
        }
    }
    attn_case_init(c);
    int status = attn_case_read(c, count, words, error);
    if (status == ATTN_DONE) {
        status = attn_case_complete(c, error);
    }
    if (status == ATTN_DONE) {
        status = attn_cases_append(cases, c, error);
    }
    free(c);
    return status;
}

/* The next combination, the last word fastest; false after the last one. */
static bool attn_next_combination(attn_choice *choices, int count) {
    for (int w = count - 1; w >= 0; w--) {
        if (++choices[w].now < choices[w].count) {
            return true;
        }
        choices[w].now = 0;
    }
    return false;
}

int attn_cases_expand(attn_cases *cases, int count, char **words, attn_error *error) {
    attn_choice choices[ATTN_WORDS_MAX];
    int read = 0;
    int status = count > ATTN_WORDS_MAX ? attn_fail(error, ATTN_BAD, "more than %d words", ATTN_WORDS_MAX) : ATTN_DONE;
    while (status == ATTN_DONE && read < count) {
        status = attn_read_choice(&choices[read], words[read], error);
        read++;
    }
    while (status == ATTN_DONE) {
        status = attn_add_combination(cases, choices, count, error);
        if (!attn_next_combination(choices, count)) {
            break;
        }
    }
    for (int w = 0; w < read; w++) {
        free(choices[w].values);
    }
    return status;
}

/* ------------------------------------------------------------------------------------ suites */

int attn_cases_line(attn_cases *cases, const char *line, attn_error *error) {
    char text[ATTN_CASE_TEXT];
    char *words[ATTN_WORDS_MAX];
    int count = 0;
    size_t length = strcspn(line, "#\r\n");
    if (length >= sizeof text) {
        return attn_fail(error, ATTN_BAD, "%.60s...: the line is too long", line);
    }
    memcpy(text, line, length);
    text[length] = '\0';
    char *rest = NULL;
    for (char *word = strtok_r(text, " \t", &rest); word != NULL; word = strtok_r(NULL, " \t", &rest)) {
        if (count == ATTN_WORDS_MAX) {
            return attn_fail(error, ATTN_BAD, "more than %d words", ATTN_WORDS_MAX);
        }
        words[count++] = word;
    }
    return count == 0 ? ATTN_DONE : attn_cases_expand(cases, count, words, error);
}

/* The name a comment gives: what stands before the first colon. */
static void attn_comment_name(const char *line, char name[ATTN_CASE_NAME]) {
    const char *comment = strchr(line, '#');
    if (comment != NULL) {
        comment += 1 + strspn(comment + 1, "# \t");
        size_t length = strcspn(comment, ":\r\n");
        snprintf(name, ATTN_CASE_NAME, "%.*s", (int)(length < ATTN_CASE_NAME - 1 ? length : ATTN_CASE_NAME - 1),
                 comment);
    }
}

static int attn_read_suite(attn_cases *cases, FILE *file, const char *path, attn_error *error) {
    char line[ATTN_CASE_TEXT + 512];
    char name[ATTN_CASE_NAME] = "";
    for (int number = 1; fgets(line, sizeof line, file) != NULL; number++) {
        int64_t before = cases->count;
        attn_comment_name(line, name);
        if (attn_cases_line(cases, line, error) != ATTN_DONE) {
            char text[512];
            snprintf(text, sizeof text, "%.500s", error->text);
            return attn_fail(error, error->status, "%s:%d: %s", path, number, text);
        }
        for (int64_t n = before; n < cases->count; n++) {
            memcpy(cases->items[n].name, name, sizeof name);
        }
    }
    return ferror(file) ? attn_fail(error, ATTN_BAD, "%s: cannot be read", path) : ATTN_DONE;
}

int attn_cases_file(attn_cases *cases, const char *path, attn_error *error) {
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return attn_fail(error, ATTN_BAD, "%s: cannot be opened", path);
    }
    int status = attn_read_suite(cases, file, path, error);
    fclose(file);
    return status;
}

/* ------------------------------------------------------------------------------------ telling cases apart */

static bool attn_has_word(const attn_case *c, const char *word, size_t length) {
    for (const char *at = c->text; *at != '\0'; at += strspn(at, " ")) {
        size_t there = strcspn(at, " ");
        if (there == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += there;
    }
    return false;
}

/* Whether a table shows the word in a column of its own. */
static bool attn_has_column(const char *word, size_t length) {
    static const char *const shown[] = { "batch",    "query_heads", "kv_heads",  "query_length", "key_length",
                                         "head_dim", "value_dim",   "type" };
    for (size_t s = 0; s < sizeof shown / sizeof shown[0]; s++) {
        if (strlen(shown[s]) == length && strncmp(shown[s], word, length) == 0) {
            return true;
        }
    }
    return false;
}

/* Which words of c, counted from 0, another case has not and no column shows: one bit a word. */
static uint64_t attn_words_beyond(const attn_case *c, const attn_case *other) {
    uint64_t words = 0;
    int word = 0;
    for (const char *at = c->text; *at != '\0' && word < ATTN_WORDS_MAX; at += strspn(at, " "), word++) {
        size_t length = strcspn(at, " ");
        if (!attn_has_column(at, strcspn(at, "= ")) && !attn_has_word(other, at, length)) {
            words |= UINT64_C(1) << word;
        }
        at += length;
    }
    return words;
}

/* Adds the words of case n that another case of its name has not. */
static void attn_add_difference(const attn_cases *cases, int64_t n, char name[ATTN_CASE_NAME]) {
    const attn_case *c = &cases->items[n];
    uint64_t words = 0, others = 0;
    int word = 0;
    for (int64_t m = 0; m < cases->count; m++) {
        if (strcmp(cases->items[m].name, c->name) == 0) {
            words |= attn_words_beyond(c, &cases->items[m]);
            others |= attn_words_beyond(&cases->items[m], c);
        }
    }
    for (const char *at = c->text; *at != '\0'; at += strspn(at, " "), word++) {
        size_t length = strcspn(at, " ");
        if (word < ATTN_WORDS_MAX && (words >> word & 1) != 0) {
            attn_text_add(name, ATTN_CASE_NAME, "%s%.*s", name[0] != '\0' ? " " : "", (int)length, at);
        }
        at += length;
    }
    if (words == 0 && others != 0) {
        attn_text_add(name, ATTN_CASE_NAME, "%sno further words", name[0] != '\0' ? ", " : "");
    }
}

int attn_cases_tell_apart(attn_cases *cases, attn_error *error) {
    char(*names)[ATTN_CASE_NAME] = calloc((size_t)cases->count + 1, sizeof *names);
    if (names == NULL) {
        return attn_fail(error, ATTN_CANNOT, "out of memory");
    }
    for (int64_t n = 0; n < cases->count; n++) {
        memcpy(names[n], cases->items[n].name, sizeof names[n]);
        attn_add_difference(cases, n, names[n]);
    }
    for (int64_t n = 0; n < cases->count; n++) {
        memcpy(cases->items[n].name, names[n], sizeof names[n]);
    }
    free(names);
    return ATTN_DONE;
}

void attn_cases_free(attn_cases *cases) {
    free(cases->items);
    *cases = (attn_cases){ 0 };
}
