/*
 * help_topic.h
 *		Short help on a topic.
 */
#ifndef ACTEON_HELP_TOPIC_H
#define ACTEON_HELP_TOPIC_H

#include "help/help_rows.h"

extern void HelpOnTopic(Help *help, const char *topic);

#endif /* ACTEON_HELP_TOPIC_H */
