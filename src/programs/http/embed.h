/*
 * embed.h
 *		Files that are part of the program.
 *
 * EMBED makes the bytes of a file, whose path is that in the source tree, available as
 * name_text up to name_end, which is a zero byte.  What includes it has to be made again
 * when the file changes: see programs.mk.
 */
#ifndef EMBED_H
#define EMBED_H

#define EMBED(name, path) \
	__asm__(".section .rodata\n" \
			".global " #name "_text\n" \
			".global " #name "_end\n" #name "_text:\n" \
			".incbin \"" path "\"\n" #name "_end:\n" \
			".byte 0\n" \
			".previous\n"); \
	extern const char name##_text[]; \
	extern const char name##_end[]

#endif
