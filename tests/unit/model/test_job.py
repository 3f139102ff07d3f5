"""What a task means when nothing is said."""

from batchrun.engine.state import resources_of
from batchrun.model.job import Job, RetryPolicy, Task
from batchrun.model.unit import Unit


def test_without_modifiers_nothing_is_limited_or_tried_again() -> None:
    task = Task(id="a", name="a", operation="copy")
    job = Job(name="j", tasks=(task,))
    assert (task.retry.retries, task.max_fail, task.max_parallel, task.needs) == (0, None, None, ())
    assert (job.deadline_s, job.max_fail, dict(job.limits), job.final_tasks) == (None, None, {}, ())


def test_retries_wait_a_second_and_twice_as_long_each_time_by_default() -> None:
    policy = RetryPolicy()
    assert (policy.delay_s, policy.backoff) == (1.0, 2.0)


def test_two_jobs_do_not_share_their_limits() -> None:
    assert Job(name="a", tasks=()).limits is not Job(name="b", tasks=()).limits


def test_what_a_unit_holds_is_named_in_one_order_for_everybody() -> None:
    task = Task(id="t", name="t", operation="copy", max_parallel=3)
    unit = Unit(task_id="t", index=1, operation="copy", locks=("a", "z"), limits=("db",))
    assert resources_of(task, unit) == ("limit:db", "lock:a", "lock:z", "task:t")
