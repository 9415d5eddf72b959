/* Log: one line an event to standard error, `level event key=value ...`, one write(2) per line.
 * Never pass image data, embeddings, keys or request bodies. */
#ifndef MIEN_BASE_LOG_H
#define MIEN_BASE_LOG_H

enum mien_log_level { MIEN_LOG_DEBUG, MIEN_LOG_INFO, MIEN_LOG_WARN, MIEN_LOG_ERROR, MIEN_LOG_OFF };

/* Events below `level` are dropped. Default: MIEN_LOG_WARN. */
void mien_log_set_level(enum mien_log_level level);

/* `event` is a short snake_case name; fmt gives the key=value pairs. */
void mien_log(enum mien_log_level level, const char *event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
