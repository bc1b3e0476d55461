/*
 * uuid.c
 *		Proof of the text form of ids, src/base/replay_id.c.
 *
 * Bounds: all ids; texts of up to 40 bytes.
 *
 * Unwind: 42
 *
 * Breaks: src/base/replay_id.c s/i == 6 || i == 8/i == 8/
 * Breaks: src/base/replay_id.c s/data\[i\] & 0x0F/data[i] \& 0x07/
 * Breaks: src/base/replay_id.c s/len != UUID_TEXT_LEN/len < UUID_TEXT_LEN/
 */
#include "base/replay_id.c"

/* What is written has the length and the dashes that it should, and is read as the same id. */
void
prove_round_trip(void)
{
	pg_uuid_t id, again;
	char *text = palloc(UUID_TEXT_LEN);

	for (int i = 0; i < UUID_LEN; i++)
		id.data[i] = (unsigned char) nondet_char();
	UuidToText(text, &id);
	PROVE(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-');
	PROVE(TextToUuid(text, UUID_TEXT_LEN, &again));
	for (int i = 0; i < UUID_LEN; i++)
		PROVE(again.data[i] == id.data[i]);
}

/* Of any text no more is read than there is, and what is no id is not taken. */
void
prove_reader(void)
{
	size_t len = nondet_uint64();
	char *text;
	pg_uuid_t id;

	ASSUME(len >= 1 && len <= 40);
	text = palloc(len);
	for (size_t i = 0; i < len; i++)
		text[i] = nondet_char();
	if (!TextToUuid(text, len, &id))
		return;
	PROVE(len == UUID_TEXT_LEN);
	PROVE(text[8] == '-' && text[13] == '-' && text[18] == '-' && text[23] == '-');
}
