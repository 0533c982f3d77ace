// SPDX-License-Identifier: Apache-2.0
// libedit (BSD), the line editor of NetBSD, by its own interface: editline(3). Its setters are variadic, which Swift
// cannot call.
#ifndef TAPEDECK_CEDIT_H
#define TAPEDECK_CEDIT_H

#include <histedit.h>
#include <stdio.h>

// Emacs keys and a history. Ctrl-C is a key like any other while a line is edited, so that it ends the line and not the
// program.
static inline void tapedeck_edit_setup(EditLine *edit, History *lines, char *(*prompt)(EditLine *)) {
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_SIGNAL, 1);
    el_set(edit, EL_PROMPT, prompt);
    el_set(edit, EL_HIST, history, lines);
    el_set(edit, EL_SETTY, "-d", "-isig", NULL);
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
}
static inline void tapedeck_edit_bind(
    EditLine *edit, const char *key, const char *name, const char *help, unsigned char (*function)(EditLine *, int)) {
    el_set(edit, EL_ADDFN, name, help, function);
    el_set(edit, EL_BIND, key, name, NULL);
}
static inline void tapedeck_edit_set_context(EditLine *edit, void *context) { el_set(edit, EL_CLIENTDATA, context); }
static inline void *tapedeck_edit_context(EditLine *edit) {
    void *context = NULL;
    el_get(edit, EL_CLIENTDATA, &context);
    return context;
}
static inline void tapedeck_history_limit(History *lines, int count) {
    HistEvent event;
    history(lines, &event, H_SETSIZE, count);
    history(lines, &event, H_SETUNIQUE, 1);
}
static inline void tapedeck_history_add(History *lines, const char *line) {
    HistEvent event;
    history(lines, &event, H_ENTER, line);
}
/// Both return the number of lines, or -1.
static inline int tapedeck_history_load(History *lines, const char *path) {
    HistEvent event;
    return history(lines, &event, H_LOAD, path);
}
static inline int tapedeck_history_save(History *lines, const char *path) {
    HistEvent event;
    return history(lines, &event, H_SAVE, path);
}
static inline FILE *tapedeck_stdin(void) { return stdin; }
static inline FILE *tapedeck_stdout(void) { return stdout; }
static inline FILE *tapedeck_stderr(void) { return stderr; }

#endif
