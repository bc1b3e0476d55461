/* The times of the server. */
#ifndef TIMESTAMP_H
#define TIMESTAMP_H

typedef int64 TimestampTz;
typedef int32 fsec_t;

#define MONTHS_PER_YEAR 12
#define SECS_PER_MINUTE 60
#define SECS_PER_HOUR 3600
#define USECS_PER_SEC INT64CONST(1000000)
#define USECS_PER_DAY INT64CONST(86400000000)
#define END_TIMESTAMP INT64CONST(9223371331200000000)

#endif
