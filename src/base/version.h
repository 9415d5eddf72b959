/* The version, for rooms that must not know the public API. include/mien.h says the same (asserted in app/api.c). */
#ifndef MIEN_BASE_VERSION_H
#define MIEN_BASE_VERSION_H

#define MIEN_VERSION_TEXT "0.1.0"

#endif
