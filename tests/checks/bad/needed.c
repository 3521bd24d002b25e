/* Compiled only for the check of needed libraries, which must refuse it: it needs another library. */
int shown_by_mistake(void);
__attribute__((visibility("default"))) int needs_another(void);

int needs_another(void) {
    return shown_by_mistake();
}
