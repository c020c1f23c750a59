/*
 * Sessions: a sequence in a file, from which it goes on with the same bits. It is a safetensors
 * file with these tensors, the last of which ends it:
 *
 *     tokens           U32 [length]
 *     marks            U32 [marks]      lengths, ascending
 *     positions        U32 [held]       those of which sliding layers have something, ascending
 *     layers.N.keys    F32 or BF16 [length, in sliding layers held; kv_heads, head_dim]
 *     layers.N.values  the same
 *     note             U8 [bytes]
 *     sha256           U8 [32]          of all bytes before it, the header's too
 *
 * The metadata begin with SESSION_KEY and have the model's identity and the cache's format. Nothing
 * in the file depends on the context, the chunk or the places of numbers in memory.
 */
#ifndef ENGINE_SESSION_H
#define ENGINE_SESSION_H

#define SESSION_FORMAT "gptoss-session-1"

/* What follows the 8 bytes of length, and then a version. */
#define SESSION_KEY "{\"__metadata__\":{\"format\":\"gptoss-session-"

/* Tensors besides those of the layers. */
#define SESSION_TENSORS 5

/* Room for "layers.1023.values". */
#define SESSION_NAME 32

#endif
