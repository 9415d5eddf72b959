/* Labels of single faces out of a CSV file. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/eval_attributes.h"
#include "base/buf.h"
#include "codec/csv.h"
#include "face/face.h"

enum { NONE = -1, MAX_GROUP_BYTES = 4096 };

/* Columns by their place in the table; NONE where there is none. */
struct columns { int file, age, gender, emotion, label, pitch, yaw, roll, group[MIEN_ATTRIBUTE_GROUP_COLUMNS], groups; };

struct reader {
    const struct mien_csv *table;
    struct columns column;
    struct mien_arena *arena;
    struct mien_attribute_labels *out;
};

static const char *const GENDER[] = {"female", "male"}, *const SPOOF[] = {"spoof", "live"}, *const DEEPFAKE[] = {"fake", "real"};
const struct mien_choice_classes mien_choice_classes[MIEN_CHOICES] = {[MIEN_CHOICE_GENDER] = {2, "gender", GENDER},
                                                                      [MIEN_CHOICE_EMOTION] = {MIEN_EMOTIONS, "emotion", mien_emotion_name},
                                                                      [MIEN_CHOICE_SPOOF] = {2, "label", SPOOF},
                                                                      [MIEN_CHOICE_DEEPFAKE] = {2, "label", DEEPFAKE}};

/* ---- columns ---- */

static enum mien_code find_groups(struct reader *r, const char *list, struct mien_err *e)
{
    struct columns *c = &r->column;
    for (const char *p = list; p != NULL; p = strchr(p, ',') != NULL ? strchr(p, ',') + 1 : NULL) {
        const char *name = mien_arena_strndup(r->arena, p, strcspn(p, ","));
        MIEN_FAIL_IF(name == NULL, e, MIEN_E_NOMEM, "out of memory");
        MIEN_FAIL_IF(c->groups == MIEN_ATTRIBUTE_GROUP_COLUMNS, e, MIEN_E_ARG, "--group takes at most %d columns", MIEN_ATTRIBUTE_GROUP_COLUMNS);
        c->group[c->groups] = mien_csv_column(r->table, name);
        MIEN_FAIL_IF(c->group[c->groups++] < 0, e, MIEN_E_ARG, "--group: no column \"%.60s\" in the first line", name);
    }
    return MIEN_OK;
}

static enum mien_code find_columns(struct reader *r, const char *group, struct mien_err *e)
{
    const struct mien_csv *t = r->table;
    struct columns *c = &r->column;
    *c = (struct columns){.file = mien_csv_column(t, "file"), .age = mien_csv_column(t, "age"), .gender = mien_csv_column(t, "gender"),
                          .emotion = mien_csv_column(t, "emotion"), .label = mien_csv_column(t, "label"), .pitch = mien_csv_column(t, "pitch_deg"),
                          .yaw = mien_csv_column(t, "yaw_deg"), .roll = mien_csv_column(t, "roll_deg")};
    const bool some = c->pitch >= 0 || c->yaw >= 0 || c->roll >= 0, pose = c->pitch >= 0 && c->yaw >= 0 && c->roll >= 0;
    MIEN_FAIL_IF(c->file < 0, e, MIEN_E_ARG, "line %zu: no column \"file\"; the first line names the columns", t->line[0]);
    MIEN_FAIL_IF(some && !pose, e, MIEN_E_ARG, "line %zu: a pose is pitch_deg, yaw_deg and roll_deg, all three", t->line[0]);
    MIEN_FAIL_IF(!pose && c->age < 0 && c->gender < 0 && c->emotion < 0 && c->label < 0, e, MIEN_E_ARG,
                 "line %zu: nothing to measure: none of the columns age, gender, emotion, label, pitch_deg, yaw_deg, roll_deg", t->line[0]);
    r->out->has_choice[MIEN_CHOICE_GENDER] = c->gender >= 0;
    r->out->has_choice[MIEN_CHOICE_EMOTION] = c->emotion >= 0;
    r->out->has_amount[MIEN_AMOUNT_AGE] = c->age >= 0;
    for (int i = MIEN_AMOUNT_YAW; i <= MIEN_AMOUNT_ROLL; i++) r->out->has_amount[i] = pose;
    return find_groups(r, group, e);
}

/* ---- cells ---- */

static enum mien_code read_number(const struct reader *r, size_t row, int column, double low, double high, double *out, struct mien_err *e)
{
    const char *text = mien_csv_cell(r->table, row, column);
    char *end;
    *out = NAN;
    if (*text == '\0') return MIEN_OK;
    const double v = strtod(text, &end);
    MIEN_FAIL_IF(*end != '\0' || !(v >= low && v <= high), e, MIEN_E_ARG, "line %zu: %s '%.40s' is not a number from %g to %g", r->table->line[row],
                 mien_csv_cell(r->table, 0, column), text, low, high);
    *out = v;
    return MIEN_OK;
}

static enum mien_code read_pose(const struct reader *r, size_t row, struct mien_attribute_row *to, struct mien_err *e)
{
    double pitch, yaw, roll;
    if (r->column.yaw < 0) return MIEN_OK;
    MIEN_TRY(read_number(r, row, r->column.pitch, -180, 180, &pitch, e));
    MIEN_TRY(read_number(r, row, r->column.yaw, -180, 180, &yaw, e));
    MIEN_TRY(read_number(r, row, r->column.roll, -180, 180, &roll, e));
    const int missing = isnan(pitch) + isnan(yaw) + isnan(roll);
    MIEN_FAIL_IF(missing == 1 || missing == 2, e, MIEN_E_ARG, "line %zu: pitch_deg, yaw_deg and roll_deg: all three or none", r->table->line[row]);
    if (missing == 0) mien_pose_from_aflw(pitch, yaw, roll, &to->amount[MIEN_AMOUNT_YAW]);
    return MIEN_OK;
}

/* The cell in small letters; what does not fit is no word of ours. */
static const char *read_word(const struct reader *r, size_t row, int column, char word[16])
{
    const char *text = column >= 0 ? mien_csv_cell(r->table, row, column) : "";
    size_t n = strlen(text);
    if (n > 15) n = 15;
    for (size_t i = 0; i < n; i++) word[i] = (char)tolower((unsigned char)text[i]);
    word[n] = '\0';
    return word;
}

static int class_of(enum mien_choice choice, const char *word)
{
    const struct mien_choice_classes *c = &mien_choice_classes[choice];
    if (choice == MIEN_CHOICE_EMOTION) return mien_emotion_index(word);
    for (int i = 0; i < c->n; i++)
        if (strcmp(word, c->name[i]) == 0) return i;
    return NONE;
}

static enum mien_code read_choice(const struct reader *r, size_t row, int column, enum mien_choice choice, const char *wanted, struct mien_attribute_row *to,
                                  struct mien_err *e)
{
    char word[16];
    if (*read_word(r, row, column, word) == '\0') return MIEN_OK;
    to->choice[choice] = class_of(choice, word);
    MIEN_FAIL_IF(to->choice[choice] == NONE, e, MIEN_E_ARG, "line %zu: %s '%.40s' is not %s", r->table->line[row], mien_choice_classes[choice].member,
                 mien_csv_cell(r->table, row, column), wanted);
    return MIEN_OK;
}

/* The column serves both judges of the capture. */
static void read_label(struct reader *r, size_t row, struct mien_attribute_row *to)
{
    char word[16];
    if (*read_word(r, row, r->column.label, word) == '\0') return;
    for (enum mien_choice i = MIEN_CHOICE_SPOOF; i <= MIEN_CHOICE_DEEPFAKE; i++) {
        to->choice[i] = class_of(i, word);
        if (to->choice[i] != NONE) r->out->has_choice[i] = true;
    }
    r->out->left_out += to->choice[MIEN_CHOICE_SPOOF] == NONE && to->choice[MIEN_CHOICE_DEEPFAKE] == NONE;
}

static enum mien_code read_group(const struct reader *r, size_t row, struct mien_attribute_row *to, struct mien_err *e)
{
    struct mien_buf b;
    if (r->column.groups == 0) return MIEN_OK;
    mien_buf_init(&b, MAX_GROUP_BYTES);
    for (int i = 0; i < r->column.groups; i++) {
        const char *text = mien_csv_cell(r->table, row, r->column.group[i]);
        mien_buf_adds(&b, i > 0 ? ", " : "");
        mien_buf_adds(&b, *text != '\0' ? text : "-");
    }
    if (!b.failed) to->group = mien_arena_strndup(r->arena, b.data, b.len);
    const bool failed = b.failed;
    mien_buf_free(&b);
    MIEN_FAIL_IF(failed, e, MIEN_E_LIMIT, "line %zu: the group's name has more than %d bytes", r->table->line[row], MAX_GROUP_BYTES);
    MIEN_FAIL_IF(to->group == NULL, e, MIEN_E_NOMEM, "out of memory");
    return MIEN_OK;
}

/* ---- rows ---- */

static bool is_labelled(const struct mien_attribute_row *row)
{
    bool any = false;
    for (int i = 0; i < MIEN_CHOICES; i++) any = any || row->choice[i] != NONE;
    for (int i = 0; i < MIEN_AMOUNTS; i++) any = any || !isnan(row->amount[i]);
    return any;
}

static enum mien_code read_row(struct reader *r, size_t row, struct mien_attribute_row *to, struct mien_err *e)
{
    const size_t left_out = r->out->left_out;
    *to = (struct mien_attribute_row){.file = mien_csv_cell(r->table, row, r->column.file)};
    for (int i = 0; i < MIEN_CHOICES; i++) to->choice[i] = NONE;
    for (int i = 0; i < MIEN_AMOUNTS; i++) to->amount[i] = NAN;
    MIEN_FAIL_IF(*to->file == '\0', e, MIEN_E_ARG, "line %zu: no file", r->table->line[row]);
    if (r->column.age >= 0) MIEN_TRY(read_number(r, row, r->column.age, 0, 150, &to->amount[MIEN_AMOUNT_AGE], e));
    MIEN_TRY(read_pose(r, row, to, e));
    MIEN_TRY(read_choice(r, row, r->column.gender, MIEN_CHOICE_GENDER, "male or female", to, e));
    MIEN_TRY(read_choice(r, row, r->column.emotion, MIEN_CHOICE_EMOTION, "neutral, happy, sad, angry, fearful, disgusted or surprised", to, e));
    read_label(r, row, to);
    if (!is_labelled(to)) r->out->left_out = left_out + 1;
    return read_group(r, row, to, e);
}

static void spread(struct mien_attribute_labels *l, size_t limit)
{
    if (limit == 0 || limit >= l->n) return;
    for (size_t i = 0; i < limit; i++) l->row[i] = l->row[i * l->n / limit];
    l->n = limit;
}

enum mien_code mien_attribute_labels_parse(const char *text, size_t n, const char *group, size_t limit, struct mien_arena *arena,
                                           struct mien_attribute_labels *out, struct mien_err *e)
{
    struct mien_csv table;
    struct reader r = {.table = &table, .arena = arena, .out = out};
    *out = (struct mien_attribute_labels){0};
    MIEN_TRY(mien_csv_parse(text, n, arena, &table, e));
    MIEN_FAIL_IF(table.rows > MIEN_ATTRIBUTE_ROWS, e, MIEN_E_LIMIT, "%zu rows; at most %d are taken", table.rows, MIEN_ATTRIBUTE_ROWS);
    MIEN_TRY(find_columns(&r, group, e));
    out->row = mien_arena_calloc(arena, table.rows, sizeof *out->row);
    MIEN_FAIL_IF(out->row == NULL, e, MIEN_E_NOMEM, "out of memory");
    for (size_t i = 1; i < table.rows; i++) {
        MIEN_TRY(read_row(&r, i, &out->row[out->n], e));
        out->n += is_labelled(&out->row[out->n]);
    }
    MIEN_FAIL_IF(out->n == 0, e, MIEN_E_ARG, table.rows == 1 ? "no photos: the file has its first line only" : "none of the rows has a label that is known");
    spread(out, limit);
    return MIEN_OK;
}
