// locks
