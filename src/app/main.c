/* The command line: one table of verbs, one place that reads it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli.h"
#include "base/log.h"
#include "mien.h"

static int verb_version(struct mien_cli *cli, int argc, char **argv);

static const struct mien_verb VERB[] = {
    {"serve", "[options]", "Serves the HTTP API until it is told to stop (SIGTERM, SIGINT).", "mien serve --port 8000", mien_verb_serve},
    {"config", "[options]", "Prints the server's configuration: each value and where it came from.", "mien config --json", mien_verb_config},
    {"openapi", "[options]", "Prints the OpenAPI document of the HTTP API.", "mien openapi", mien_verb_openapi},
    {"health", "[options]", "Asks the configured server whether it answers. Exit status 0 yes, 1 no.", "mien health --port 8000 || true", mien_verb_health},
    {"detect", "IMAGE... [options]", "Finds the faces of photos. Exit status 0 when every photo shows one, 1 when one shows none.",
     "mien detect --json photo.jpg", mien_verb_detect},
    {"analyze", "IMAGE... [options]", "Finds faces and says what is asked for: pose, eyes, quality, expression, age, liveness, ...",
     "mien analyze --want pose,quality,expression photo.jpg", mien_verb_analyze},
    {"embed", "IMAGE [options]", "Prints the embedding of the best face.", "mien embed --json photo.jpg", mien_verb_embed},
    {"compare", "A B [options]", "Are two photos of the same person? Exit status 0 yes, 1 no.", "mien compare --threshold 0.3 a.jpg b.jpg",
     mien_verb_compare},
    {"eval verification", "--pairs FILE --images DIR [options]",
     "Measures verification accuracy on labelled pairs in LFW's format, and error rates over all pairs of their images.",
     "mien eval verification --pairs lfw/pairs.txt --images lfw/images --html det.html", mien_verb_eval_verification},
    {"eval identification", "--images DIR [options]",
     "Measures searches with strangers among them: half of the people are enrolled, misses by gallery size at stated false positive rates.",
     "mien eval identification --images lfw/images", mien_verb_eval_identification},
    {"eval liveness", "DIR [options]",
     "Replays labelled clips (DIR/LABEL/CLIP, label \"live\" for people) as live sessions see them: which attacks pass, which people do not.",
     "mien eval liveness clips --seconds 5", mien_verb_eval_liveness},
    {"eval detection", "--labels FILE --images DIR [options]",
     "Measures the detector on photos whose faces are labelled in WIDER FACE's format: recall, precision, average precision.",
     "mien eval detection --labels faces.txt --images . --min-side 24", mien_verb_eval_detection},
    {"eval attributes", "--labels FILE [options]",
     "Measures what is said of single faces against the labels of a CSV file: age, gender, emotion, pose, live or spoof, real or fake.",
     "mien eval attributes --labels people.csv --group place", mien_verb_eval_attributes},
    {"calibrate", "--fmr RATE --images DIR | --unlabelled DIR [options]",
     "Finds the match threshold for a false match rate on your own photos, with its interval.", "mien calibrate --fmr 1e-4 --images lfw/images || true",
     mien_verb_calibrate},
    {"bench models", "[options]", "Measures the time of each network.", "mien bench models --model yunet_n --threads 2 --json", mien_verb_bench_models},
    {"bench pipeline", "[IMAGE...] [options]", "Measures detection, embedding and full analysis of photos, decoding included.",
     "mien bench pipeline photo.jpg", mien_verb_bench_pipeline},
    {"enroll", "USER IMAGE... [options]", "Enrols a person by photos. Exit status 0 when every photo is used, 1 when one shows no face that can be.",
     "mien enroll alice photo.jpg --name 'Alice A.'", mien_verb_enroll},
    {"search", "IMAGE [options]", "Who is it? Searches the gallery for the best face. Exit status 0 when somebody is found, 1 nobody.",
     "mien search --top 3 photo.jpg || true", mien_verb_search},
    {"verify", "USER IMAGE [options]", "Is it this enrolled person? Exit status 0 yes, 1 no.", "mien verify alice photo.jpg", mien_verb_verify},
    {"gallery list", "[options]", "Lists who is enrolled.", "mien gallery list --json", mien_verb_gallery_list},
    {"gallery delete", "USER... [options]", "Deletes people from the gallery. Exit status 0 when all were enrolled, 1 when one was not.",
     "mien gallery delete alice bob || true", mien_verb_gallery_delete},
    {"gallery export", "--output FILE [options]", "Writes the gallery, templates in the clear, to a file that gallery import reads.",
     "mien gallery export --output people.jsonl", mien_verb_gallery_export},
    {"gallery import", "FILE [options]", "Enrols ready embeddings: JSON lines with user_id, embedding, and name, metadata, model, append.",
     "mien gallery import people.jsonl", mien_verb_gallery_import},
    {"keys rotate", "[options]", "Seals every template anew, under a new key when the key is in a file; or makes a new key for tokens.", "mien keys rotate",
     mien_verb_keys_rotate},
    {"audit verify", "[options]", "Checks the chain of the audit log. Exit status 0 when it is intact, 1 when a row was removed, changed or moved.",
     "mien audit verify --json || true", mien_verb_audit_verify},
    {"audit list", "[options]", "Lists the audit log of live sessions.", "mien audit list --event token_issuance --limit 20 || true", mien_verb_audit_list},
    {"facebank create", "--images DIR --output FILE [options]",
     "Makes the file of /main and /identity: one embedding a photo. Exit status 0 when every photo shows a face, 1 when one does not.",
     "mien facebank create --images lfw/images --output facebank.csv", mien_verb_facebank_create},
    {"models list", "[options]", "Lists the models of the installed pack.", "mien models list --json", mien_verb_models_list},
    {"models inspect", "MODEL [options]", "Shows how a network is executed: its steps, memory and work. MODEL is an id or an ONNX file.",
     "mien models inspect yunet_n --shape 1x3x320x320", mien_verb_models_inspect},
    {"models check", "[options]", "Verifies installed files by their sha256 and networks against golden outputs. Exit status 1 when one differs.",
     "mien models check --json", mien_verb_models_check},
    {"version", "[options]", "Prints the version.", "mien version --json", verb_version}};
enum { N_VERBS = sizeof VERB / sizeof VERB[0] };

static int verb_version(struct mien_cli *cli, int argc, char **argv)
{
    int first;
    int status = mien_cli_parse(cli, argc, argv, NULL, 0, 0, 0, &first);
    if (status >= 0) return status;
    struct mien_buf b;
    mien_buf_init(&b, 1024);
    mien_buf_addf(&b, cli->json ? "{\"version\":\"%s\"}\n" : "mien %s\n", MIEN_VERSION);
    return mien_cli_print(&b, MIEN_EXIT_YES);
}

static int print_help(void)
{
    printf("usage: mien [options] VERB ...\n\nFaces in photos: find, recognise, compare, judge.\n\n");
    for (int i = 0; i < N_VERBS; i++) printf("  %-18s %s\n", VERB[i].name, VERB[i].summary);
    printf("\nOptions of every verb:\n");
    mien_cli_print_common_help();
    printf("\n`-` as an image is standard input. Exit status: 0 yes, 1 no, 2 error. MIEN_LOG=debug|info|warn|error|off sets the log.\n"
           "`mien VERB --help` shows the verb's own options and an example.\n");
    return MIEN_EXIT_YES;
}

static void set_log_level(void)
{
    static const char *const name[] = {"debug", "info", "warn", "error", "off"};
    const char *wanted = getenv("MIEN_LOG");
    for (int i = 0; wanted != NULL && i < 5; i++)
        if (strcmp(wanted, name[i]) == 0) mien_log_set_level((enum mien_log_level)i);
}

/* The verb whose one or two words stand at argv[0..]; *words says how many. */
static const struct mien_verb *find_verb(int argc, char **argv, int *words)
{
    for (int i = 0; i < N_VERBS; i++) {
        const char *second = strchr(VERB[i].name, ' ');
        size_t n = second == NULL ? strlen(VERB[i].name) : (size_t)(second - VERB[i].name);
        if (strlen(argv[0]) != n || strncmp(argv[0], VERB[i].name, n) != 0) continue;
        *words = second == NULL ? 1 : 2;
        if (second == NULL || (argc > 1 && strcmp(argv[1], second + 1) == 0)) return &VERB[i];
    }
    return NULL;
}

/* `mien models`, or `mien models x`: says what could follow. */
static int unknown_verb(int argc, char **argv)
{
    char list[200] = "";
    size_t n = strlen(argv[0]);
    for (int i = 0; i < N_VERBS; i++)
        if (strncmp(VERB[i].name, argv[0], n) == 0 && VERB[i].name[n] == ' ')
            snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", list[0] != '\0' ? ", " : "", VERB[i].name + n + 1);
    if (list[0] == '\0') return mien_cli_error("unknown verb '%s'; see mien --help", argv[0]);
    if (argc > 1 && strcmp(argv[1], "--help") == 0) return print_help();
    return mien_cli_error("after '%s' comes one of: %s", argv[0], list);
}

int main(int argc, char **argv)
{
    struct mien_cli cli = {0};
    int first = 1, words = 1;
    set_log_level();
    int status = mien_cli_parse_common(&cli, argc, argv, &first);
    if (status >= 0) return status;
    if (cli.help) return print_help();
    if (first >= argc) return mien_cli_error("no verb; see mien --help");
    cli.verb = find_verb(argc - first, argv + first, &words);
    if (cli.verb == NULL) return unknown_verb(argc - first, argv + first);
    return cli.verb->run(&cli, argc - first - words + 1, argv + first + words - 1);
}
