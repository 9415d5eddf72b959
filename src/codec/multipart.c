/* multipart/form-data as browsers, curl and HTTP libraries write it, and nothing that parsers are known to read in two ways: lines end in CRLF,
 * header lines are not folded, each part has one Content-Disposition with one name, no part is encoded or itself multipart, and the boundary
 * at the beginning of a line is a delimiter or an error, never content.
 *
 * Text before the first delimiter and after the closing one is ignored (RFC 2046 5.1.1). Of a part's headers only the name and whether there
 * is a file name are used. Within quotes \" and \\ stand for one character (curl writes them); any other backslash is an ordinary character
 * (file names of Windows). */
#include "codec/multipart.h"

#include <string.h>
#include <strings.h>

enum { LONGEST_BOUNDARY = 70 /* RFC 2046 */, LONGEST_HEADERS = 4096 };

/* A piece of text; reading moves `s` towards `end`. */
struct text {
    const char *s, *end;
};

struct parser {
    char *body;
    size_t n;
    char delimiter[4 + LONGEST_BOUNDARY]; /* CRLF, two hyphens, boundary */
    size_t delimiter_size;
    struct mien_err *e;
};

static enum mien_code wrong(const struct parser *p, const char *at, const char *what)
{
    MIEN_FAIL(p->e, MIEN_E_MULTIPART, "multipart: %s", what);
    if (p->e != NULL) p->e->pos = (size_t)(at - p->body);
    return MIEN_E_MULTIPART;
}

static bool is_text(struct text t, const char *word)
{
    const size_t n = strlen(word);
    return (size_t)(t.end - t.s) == n && strncasecmp(t.s, word, n) == 0;
}

static void skip_blanks(struct text *t)
{
    while (t->s < t->end && (*t->s == ' ' || *t->s == '\t')) t->s++;
}

/* Takes characters up to one of `stop`, a blank or the end. */
static struct text take_until(struct text *t, const char *stop)
{
    struct text taken = {t->s, t->s};
    while (t->s < t->end && *t->s > ' ' && *t->s < 0x7f && strchr(stop, *t->s) == NULL) t->s++;
    taken.end = t->s;
    return taken;
}

static bool is_escape(const char *s, const char *end) { return end - s >= 2 && s[0] == '\\' && (s[1] == '"' || s[1] == '\\'); }

/* What stands between quotes, escapes and all; t begins behind the opening one and is left behind the closing one. False when that is missing. */
static bool take_quoted(struct text *t, struct text *value)
{
    value->s = t->s;
    while (t->s < t->end && *t->s != '"') t->s += is_escape(t->s, t->end) ? 2 : 1;
    value->end = t->s;
    return t->s++ < t->end;
}

struct parameter {
    struct text name, value;
};

/* The next `; name=value`. 1: there is one, 0: the end, -1: neither. A semicolon with nothing behind it is the end. */
static int next_parameter(struct text *t, struct parameter *p)
{
    skip_blanks(t);
    if (t->s == t->end) return 0;
    if (*t->s++ != ';') return -1;
    skip_blanks(t);
    if (t->s == t->end) return 0;
    p->name = take_until(t, "=;\"");
    if (p->name.s == p->name.end || t->s == t->end || *t->s++ != '=') return -1;
    if (t->s < t->end && *t->s == '"') {
        t->s++;
        return take_quoted(t, &p->value) ? 1 : -1;
    }
    p->value = take_until(t, ";\"");
    return p->value.s < p->value.end ? 1 : -1;
}

/* Whether all characters are those of RFC 2046's boundary and the last one is no blank. */
static bool is_boundary(struct text t)
{
    static const char marks[] = "'()+_,-./:=? ";
    const size_t n = (size_t)(t.end - t.s);
    if (n < 1 || n > LONGEST_BOUNDARY || t.end[-1] == ' ') return false;
    for (const char *s = t.s; s < t.end; s++) {
        const bool letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z') || (*s >= '0' && *s <= '9');
        if (!letter && memchr(marks, *s, sizeof marks - 1) == NULL) return false;
    }
    return true;
}

static bool read_content_type(struct parser *p, const char *content_type)
{
    struct text t = {content_type, content_type + strlen(content_type)};
    struct parameter one;
    int more;
    skip_blanks(&t);
    if (!is_text(take_until(&t, ";\""), "multipart/form-data")) return false;
    while ((more = next_parameter(&t, &one)) == 1) {
        if (!is_text(one.name, "boundary")) continue;
        if (p->delimiter_size > 0 || !is_boundary(one.value)) return false;
        memcpy(p->delimiter, "\r\n--", 4);
        p->delimiter_size = (size_t)((char *)mempcpy(p->delimiter + 4, one.value.s, (size_t)(one.value.end - one.value.s)) - p->delimiter);
    }
    return more == 0 && p->delimiter_size > 0;
}

/* Behind a delimiter: *at moves to the first header line of a part (closing: false) or to the end of the closing one's line. */
static enum mien_code end_delimiter(const struct parser *p, char **at, bool *closing)
{
    struct text t = {*at, p->body + p->n};
    *closing = t.end - t.s >= 2 && memcmp(t.s, "--", 2) == 0;
    if (*closing) t.s += 2;
    skip_blanks(&t);
    if (t.end - t.s >= 2 && memcmp(t.s, "\r\n", 2) == 0) t.s += 2;
    else if (!*closing || t.s < t.end) return wrong(p, t.s, "no line end behind the boundary");
    *at = p->body + (t.s - p->body);
    return MIEN_OK;
}

static bool copy_name(struct text value, char name[MIEN_MULTIPART_NAME])
{
    size_t n = 0;
    for (const char *s = value.s; s < value.end; s++) {
        if (is_escape(s, value.end)) s++;
        if (n == MIEN_MULTIPART_NAME - 1) return false;
        name[n++] = *s;
    }
    name[n] = '\0';
    return n > 0;
}

static enum mien_code read_disposition(const struct parser *p, struct text t, struct mien_part *part)
{
    struct parameter one;
    int more;
    if (part->name[0] != '\0') return wrong(p, t.s, "a part with two dispositions");
    if (!is_text(take_until(&t, ";\""), "form-data")) return wrong(p, t.s, "a part that is not form-data");
    while ((more = next_parameter(&t, &one)) == 1) {
        if (is_text(one.name, "filename") || is_text(one.name, "filename*")) part->is_file = true;
        if (!is_text(one.name, "name")) continue;
        if (part->name[0] != '\0') return wrong(p, one.name.s, "a part with two names");
        if (!copy_name(one.value, part->name)) return wrong(p, one.value.s, "the name of a part is empty or too long");
    }
    return more == 0 ? MIEN_OK : wrong(p, t.s, "a malformed disposition");
}

static bool is_plain_encoding(struct text t) { return is_text(t, "binary") || is_text(t, "8bit") || is_text(t, "7bit"); }

/* One header line without its CRLF. */
static enum mien_code read_header(const struct parser *p, struct text line, struct mien_part *part)
{
    for (const char *s = line.s; s < line.end; s++) {
        if ((unsigned char)*s < ' ' && *s != '\t') return wrong(p, s, "a control character in a header");
    }
    const struct text name = take_until(&line, ":");
    if (name.s == name.end || line.s == line.end || *line.s != ':') return wrong(p, line.s, "a malformed header");
    line.s++;
    skip_blanks(&line);
    while (line.end > line.s && (line.end[-1] == ' ' || line.end[-1] == '\t')) line.end--;
    if (is_text(name, "content-disposition")) return read_disposition(p, line, part);
    if (is_text(name, "content-transfer-encoding") && !is_plain_encoding(line)) return wrong(p, line.s, "an encoded part");
    if (is_text(name, "content-type") && is_text(take_until(&line, "/"), "multipart")) return wrong(p, line.s, "a multipart in a part");
    return MIEN_OK;
}

/* Header lines up to the empty one; *at moves behind that. */
static enum mien_code read_headers(const struct parser *p, char **at, struct mien_part *part)
{
    char *const begin = *at;
    const size_t left = (size_t)(p->body + p->n - begin), searched = left < LONGEST_HEADERS ? left : LONGEST_HEADERS;
    for (;;) {
        char *const end = memmem(*at, searched - (size_t)(*at - begin), "\r\n", 2);
        if (end == NULL) return wrong(p, *at, left > searched ? "headers beyond 4 KiB" : "the body ends in the headers of a part");
        const struct text line = {*at, end};
        *at = end + 2;
        if (line.s == line.end) break;
        MIEN_TRY(read_header(p, line, part));
    }
    return part->name[0] != '\0' ? MIEN_OK : wrong(p, begin, "a part without a name");
}

/* One part, from its first header line to behind the delimiter that ends it. */
static enum mien_code read_part(const struct parser *p, char **at, struct mien_part *part)
{
    *part = (struct mien_part){0};
    MIEN_TRY(read_headers(p, at, part));
    /* the CRLF of the empty line may be that of the delimiter: a part without content */
    char *const end = memmem(*at - 2, (size_t)(p->body + p->n - *at) + 2, p->delimiter, p->delimiter_size);
    if (end == NULL) return wrong(p, p->body + p->n, "the body ends before the closing boundary");
    part->data = *at;
    part->size = end > *at ? (size_t)(end - *at) : 0;
    *at = end + p->delimiter_size;
    return MIEN_OK;
}

/* Behind the first delimiter, or NULL. At the very beginning of the body it has no CRLF before it. */
static char *first_delimiter(const struct parser *p)
{
    const size_t bare = p->delimiter_size - 2;
    if (p->n >= bare && memcmp(p->body, p->delimiter + 2, bare) == 0) return p->body + bare;
    char *const at = memmem(p->body, p->n, p->delimiter, p->delimiter_size);
    return at != NULL ? at + p->delimiter_size : NULL;
}

enum mien_code mien_multipart_parse(const char *content_type, char *body, size_t n, struct mien_part *part, int max, int *count,
                                    struct mien_err *e)
{
    struct parser p = {.body = body, .n = n, .e = e};
    *count = 0;
    if (!read_content_type(&p, content_type)) return MIEN_FAIL(e, MIEN_E_MULTIPART, "multipart: not form-data, or the boundary is missing or malformed");
    char *at = first_delimiter(&p);
    if (at == NULL) return wrong(&p, body + n, "the boundary does not appear");
    for (;;) {
        bool closing;
        MIEN_TRY(end_delimiter(&p, &at, &closing));
        if (closing) return MIEN_OK;
        MIEN_FAIL_IF(*count == max, e, MIEN_E_LIMIT, "multipart: more than %d parts", max);
        MIEN_TRY(read_part(&p, &at, &part[*count]));
        ++*count;
    }
}
