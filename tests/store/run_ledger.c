/* run_ledger FILE ROWS [PURGE_BEFORE]: writes rows into a ledger, one every second from 2026-01-01, and purges what is before the second PURGE_BEFORE of that
 * day. With ROWS 0 it holds the file open until its standard input ends. What the suites of `mien audit` work on. */
#include <stdio.h>
#include <stdlib.h>
#include "store/ledger.h"

enum { FIRST_S = 1767225600 };

static enum mien_code write_rows(struct mien_ledger *l, int n, struct mien_err *e)
{
    for (int i = 0; i < n; i++) {
        char session[32], details[64];
        snprintf(session, sizeof session, "session-%d", i / 3);
        snprintf(details, sizeof details, "{\"number\":%d}", i);
        const struct mien_audit_row row = {.at_ms = (FIRST_S + (int64_t)i) * 1000, .event = (enum mien_audit_event)(i % 3), .session_id = session,
                                           .user_id = i % 2 ? "ann" : "bob \x1b[2J", .client = "127.0.0.1", .details = details};
        MIEN_TRY(mien_ledger_write(l, &(struct mien_ledger_step){.row = &row, .n_rows = 1}, e));
    }
    return MIEN_OK;
}

int main(int argc, char **argv)
{
    struct mien_ledger *l;
    struct mien_err e = {0};
    int64_t removed = 0;
    if (argc < 3) return 2;
    const int n = (int)strtol(argv[2], NULL, 10);
    enum mien_code code = mien_ledger_open(argv[1], false, &l, &e);
    if (code == MIEN_OK) code = write_rows(l, n, &e);
    if (code == MIEN_OK && argc > 3) {
        const int64_t before = (FIRST_S + strtoll(argv[3], NULL, 10)) * 1000;
        code = mien_ledger_purge(l, (FIRST_S + 86400) * 1000LL, (FIRST_S + 86400) * 1000LL - before, &removed, &e);
    }
    if (code == MIEN_OK && n == 0) {
        puts("open");
        fflush(stdout);
        while (getchar() != EOF) continue;
    }
    if (code != MIEN_OK) fprintf(stderr, "%s\n", e.msg);
    mien_ledger_close(&l);
    return code == MIEN_OK ? 0 : 1;
}
