/* The handlers of the route table, by file. Each documents in its .c file which rule of the contract it follows. */
#ifndef MIEN_SERVICE_HANDLERS_H
#define MIEN_SERVICE_HANDLERS_H

#include "service/call.h"

typedef enum mien_code mien_handler_fn(struct mien_call *call, struct mien_err *e);

mien_handler_fn mien_do_root, mien_do_health, mien_do_livez, mien_do_readyz, mien_do_metrics, mien_do_openapi, mien_do_docs; /* do_status.c */
mien_handler_fn mien_do_detect, mien_do_embed, mien_do_compare, mien_do_batch_embed, mien_do_analyze;                       /* do_faces.c */
mien_handler_fn mien_do_liveness, mien_do_antispoof;                                                                        /* do_liveness.c */
mien_handler_fn mien_do_face_match, mien_do_verify_document;                                                                /* do_documents.c */
mien_handler_fn mien_do_smile_check, mien_do_blink_check, mien_do_head_pose, mien_do_head_turn_check;                       /* do_gestures.c */
mien_handler_fn mien_do_challenge_validate, mien_do_challenge_validate_multi;                                               /* do_challenges.c */
mien_handler_fn mien_do_challenge_session, mien_do_challenge_complete, mien_do_challenge_state;                              /* do_sessions.c */
mien_handler_fn mien_do_auth_verify, mien_do_token_validate, mien_do_jwks;                                                  /* do_auth.c */
mien_handler_fn mien_do_enroll, mien_do_enroll_frames, mien_do_unenroll, mien_do_gallery, mien_do_search, mien_do_verify_user, mien_do_verify_frames,
    mien_do_gallery_import, mien_do_keys_rotate;                                                                             /* do_gallery.c, do_fusion.c */
mien_handler_fn mien_do_main, mien_do_identity;                                                                             /* do_facebank.c */

#endif
