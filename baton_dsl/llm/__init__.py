"""Usage, costs and captures of steps that call language models. `StepContext` records them.

```python
from baton_dsl import StepContext, step

@step
async def summarize(text: str, context: StepContext) -> str:
    response = await client.responses.create(model="gpt-5-mini", input=text)
    context.record_usage(response)
    return response.output_text
```
"""

from baton_dsl.llm.prices import Price as Price
from baton_dsl.llm.prices import set_price as set_price
from baton_dsl.llm.redaction import redact_also as redact_also
from baton_dsl.llm.reports import Capture as Capture
from baton_dsl.llm.reports import Totals as Totals
from baton_dsl.llm.reports import WorkflowUsage as WorkflowUsage
from baton_dsl.llm.usage import Usage as Usage

__all__ = ["Capture", "Price", "Totals", "Usage", "WorkflowUsage", "redact_also", "set_price"]
