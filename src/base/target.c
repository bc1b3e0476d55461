/*
 * target.c
 *		Targets: where the actions of a batch are delivered to.
 *
 * A target is a name, such as staging; consumers say which one they deliver to, and are
 * handed out the actions of that one only.  The gateway whose records are in the audit
 * table is production.  What goes there has no target in the tables, and NULL stands for
 * it in this code, so that those who use no other target pay nothing.
 *
 * A name is part of the ids of replays (replay_id.c), so it has no character that
 * separates the parts of those.
 */
#include "postgres.h"

#include "base/message.h"
#include "base/target.h"

/*
 * Whether a text is the name of a target.
 */
bool
IsTargetName(const char *name)
{
	return IsNameOfTarget(name, strlen(name));
}

/*
 * The target of a name, which is NULL for production.  Raises invalid_parameter_value for
 * what is no name.
 */
const char *
CheckTarget(const char *name)
{
	if (!IsTargetName(name))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("target \"%s\" is not a name", ClipForMessage(name, strlen(name))),
						errhint("Use at most %d characters: lower-case letters, digits, _ and -, "
								"with a letter first, as in staging.",
								TARGET_MAXLEN)));
	return strcmp(name, PRODUCTION) == 0 ? NULL : name;
}

/*
 * The name of a target, which is NULL for production.
 */
const char *
NameOfTarget(const char *target)
{
	return target == NULL ? PRODUCTION : target;
}

/*
 * Find the next name in a list with commas between them, from *rest on, which is moved
 * behind it.  Returns its length; 0 if there are no more.
 */
static size_t
next_name(const char **rest, const char **name)
{
	size_t len;

	*rest += strspn(*rest, ", \t\n\r");
	*name = *rest;
	len = strcspn(*rest, ", \t\n\r");
	*rest += len;
	return len;
}

/*
 * Whether a text is a list of names of targets, with commas between them.
 */
bool
IsTargetList(const char *list)
{
	const char *name;
	size_t len;

	while ((len = next_name(&list, &name)) > 0)
	{
		if (!IsNameOfTarget(name, len))
			return false;
	}
	return true;
}

/*
 * The targets other than production that such a list names, each once, in the current
 * memory context.
 */
List *
ListedTargets(const char *list)
{
	const char *name;
	List *targets = NIL;
	size_t len;

	while ((len = next_name(&list, &name)) > 0)
	{
		char *target = pnstrdup(name, len);
		bool is_known = strcmp(target, PRODUCTION) == 0;
		ListCell *lc;

		foreach (lc, targets)
			is_known |= strcmp(lfirst(lc), target) == 0;
		if (!is_known)
			targets = lappend(targets, target);
	}
	return targets;
}

/*
 * Whether such a list names a target.
 */
bool
IsListedTarget(const char *list, const char *target)
{
	ListCell *lc;

	foreach (lc, ListedTargets(list))
	{
		if (strcmp(lfirst(lc), target) == 0)
			return true;
	}
	return false;
}
