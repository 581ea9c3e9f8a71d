"""What has to be made inside of servers before others can use them: roles and databases, buckets, schemas.

Each module is a function that a local platform calls, and a program that a Job runs in a cluster. All of them may be
repeated: what is there already is brought to what is asked for.
"""
