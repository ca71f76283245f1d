"""The Celery application: queues, schedule, and one thin module of tasks for each queue."""
