/*
 * jsonb_parts.c
 *		The parts of jsonb containers, read and written as they lie in memory.
 *
 * What changes a payload copies most of it as it is: a value, whatever it holds, is a run
 * of bytes, which may begin anywhere that its alignment permits.  The output is a varlena
 * that grows; containers and numbers are aligned from its beginning.
 */
#include "postgres.h"

#include "base/jsonb_parts.h"
#include "base/jsonb_writer.h"

/*
 * Read the children of a container from the index-th one on.  Those of an object are its
 * keys, and then its values.
 */
void
BeginParts(JsonbReader *reader, const JsonbContainer *container, uint32 index)
{
	uint32 count = JsonContainerSize(container);

	if (JsonContainerIsObject(container))
		count *= 2;
	reader->container = container;
	reader->data = (const char *) &container->children[count];
	reader->index = index;
	reader->offset = index < count ? getJsonbOffset(container, index) : 0;
}

/*
 * Whether a type of part is aligned.
 */
static inline bool
is_aligned(uint32 type)
{
	return type == JENTRY_ISCONTAINER || type == JENTRY_ISNUMERIC;
}

/*
 * Read the next child, of which there must be one.
 */
void
ReadJsonbPart(JsonbReader *reader, JsonbPart *part)
{
	JEntry entry = reader->container->children[reader->index++];
	uint32 start = reader->offset;

	JBE_ADVANCE_OFFSET(reader->offset, entry);
	part->type = entry & JENTRY_TYPEMASK;
	if (is_aligned(part->type))
		start = INTALIGN(start);
	part->data = reader->data + start;
	part->len = reader->offset - start;
}

/*
 * A jsonb as a part of another one.
 */
void
PartOfJsonb(JsonbPart *part, const Jsonb *value)
{
	JsonbReader reader;

	if (!JB_ROOT_IS_SCALAR(value))
	{
		*part =
			(JsonbPart){(const char *) &value->root, VARSIZE(value) - VARHDRSZ, JENTRY_ISCONTAINER};
		return;
	}
	BeginParts(&reader, &value->root, 0);
	ReadJsonbPart(&reader, part);
}

/*
 * The container that a part is, or NULL.
 */
const JsonbContainer *
PartContainer(const JsonbPart *part)
{
	return part->type == JENTRY_ISCONTAINER ? (const JsonbContainer *) part->data : NULL;
}

/*
 * Append zeros up to where a container or a number may be.
 */
static void
pad(StringInfo out)
{
	while (out->len != INTALIGN(out->len))
		appendStringInfoCharMacro(out, '\0');
}

/*
 * Begin to write a container with this header and so many entries.
 */
JsonbFrame
BeginContainer(StringInfo out, uint32 header, int entries)
{
	JsonbFrame frame;

	pad(out);
	appendBinaryStringInfo(out, (char *) &header, sizeof(header));
	frame.entries = out->len;
	enlargeStringInfo(out, entries * sizeof(JEntry));
	out->len += entries * sizeof(JEntry);
	frame.data = out->len;
	return frame;
}

/*
 * Append a part as it is.
 */
void
AppendPart(StringInfo out, const JsonbPart *part)
{
	if (is_aligned(part->type))
		pad(out);
	appendBinaryStringInfo(out, part->data, part->len);
}

/*
 * Write the entry of the index-th child of a container, which began at byte start, with
 * its padding, and ends where the output does.  Raises program_limit_exceeded if the
 * container is larger than jsonb allows.
 */
void
EndPart(StringInfo out, const JsonbFrame *frame, uint32 type, int index, int start)
{
	JEntry entry;

	if (out->len - frame->data > JENTRY_OFFLENMASK)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("patched payload is too large for jsonb")));
	entry = MakeJsonEntry(type, index, out->len - start, out->len - frame->data);
	memcpy(out->data + frame->entries + index * sizeof(JEntry), &entry, sizeof(JEntry));
}
