/* What the program says as JSON, value by value: names of members and punctuation are passed over. */
#ifndef TESTS_SUPPORT_JSON_VALUES_H
#define TESTS_SUPPORT_JSON_VALUES_H

/**
 * Compares the values from `json` on, to its end, with those that `expected` lists on one line: strings with a leading
 * quote, numbers to 4e-6. `what` says in failures whose they are.
 */
void json_expect(const char *json, const char *expected, const char *what);

#endif
