/* Are two photos of the same person? The smallest program over mien.h.
 *
 *     verify A.jpg B.jpg [MODELS_DIR]
 *
 * Prints the similarity and the verdict; exit status 0 same person, 1 different persons, 2 error. */
#include <mien.h>
#include <stdio.h>
#include <stdlib.h>

/* The whole file; *size 0 and NULL when it cannot be read. The caller frees. */
static unsigned char *read_file(const char *path, size_t *size)
{
    *size = 0;
    FILE *f = fopen(path, "rb");
    if (f == NULL) return NULL;
    unsigned char *data = NULL;
    long length = fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    if (length > 0 && fseek(f, 0, SEEK_SET) == 0) data = malloc((size_t)length);
    if (data != NULL) *size = fread(data, 1, (size_t)length, f);
    fclose(f);
    return data;
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: verify A.jpg B.jpg [MODELS_DIR]\n");
        return 2;
    }
    struct mien_settings settings = mien_settings_default();
    if (argc > 3) settings.models_dir = argv[3];

    struct mien *mien;
    struct mien_error error;
    if (mien_open(&settings, &mien, &error) != MIEN_STATUS_OK) {
        fprintf(stderr, "verify: %s\n", error.text);
        return 2;
    }
    size_t size_a, size_b;
    unsigned char *a = read_file(argv[1], &size_a), *b = read_file(argv[2], &size_b);
    struct mien_comparison c;
    enum mien_status status = mien_compare(mien, a, size_a, b, size_b, &c, &error);
    if (status != MIEN_STATUS_OK) fprintf(stderr, "verify: %s\n", error.text);
    else
        printf("similarity %.4f, threshold %.4f: %s\n", (double)c.similarity, (double)c.threshold,
               c.match ? "same person" : "different persons");
    free(a);
    free(b);
    mien_close(&mien);
    return status != MIEN_STATUS_OK ? 2 : c.match ? 0 : 1;
}
