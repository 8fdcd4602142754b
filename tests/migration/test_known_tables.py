"""The tables that people know from the platform's first design are there, with every column.

The list is the repository's own: dashboards and queries rely on these names, so that a migration
which drops or renames one of them fails here. Tables may have more columns.
"""

from collections.abc import Mapping

import asyncpg
import pytest
from perdure_common import migrate

TABLES: Mapping[str, Mapping[str, str]] = {
    "engine": {
        "node_connections": (
            "id workflow_id source_node_id target_node_id connection_type connection_index "
            "label conditions created_at"
        ),
        "node_executions": (
            "id execution_id node_id node_type status start_time end_time input_data "
            "output_data error_data retry_count max_retries created_at"
        ),
        "node_specifications": (
            "id node_type node_subtype specification_version specification_data is_active "
            "is_system_spec created_at updated_at"
        ),
        "nodes": (
            "id node_id workflow_id node_type node_subtype type_version name description "
            "disabled position_x position_y parameters credentials attached_nodes "
            "error_handling max_retries retry_wait_time notes webhooks created_at updated_at"
        ),
        "workflow_execution_logs": (
            "id execution_id log_category event_type level message data node_id node_name "
            "node_type step_number total_steps progress_percentage duration_seconds "
            "user_friendly_message display_priority is_milestone technical_details "
            "stack_trace performance_metrics created_at"
        ),
        "workflow_execution_pauses": (
            "id execution_id paused_at paused_node_id pause_reason resume_conditions "
            "resumed_at resume_trigger status created_at updated_at"
        ),
        "workflow_executions": (
            "id execution_id workflow_id status mode triggered_by parent_execution_id "
            "start_time end_time run_data metadata error_message error_details created_at"
        ),
        "workflow_templates": (
            "id name description document_type workflow_definition is_active created_at"
        ),
        "workflows": (
            "id user_id session_id name description version active workflow_data settings "
            "static_data pin_data tags is_template template_category deployment_status "
            "deployed_at deployed_by undeployed_at deployment_version deployment_config "
            "latest_execution_status latest_execution_id latest_execution_time icon_url "
            "created_at updated_at"
        ),
    },
    "recovery": {
        "dead_letters": "id source event_type payload error retry_count created_at processed_at",
        "failure_patterns": (
            "id workspace_id task_id pattern_signature failure_type error_message_hash "
            "error_message error_type root_cause_category occurrence_count first_detected_at "
            "last_detected_at is_transient confidence_score pattern_source execution_stage "
            "agent_id context_metadata created_at updated_at"
        ),
        "recovery_attempts": (
            "id task_id workspace_id recovery_strategy failure_pattern_id attempt_number "
            "triggered_by recovery_reason started_at completed_at status success "
            "recovery_outcome error_message recovery_context agent_id "
            "estimated_resolution_time actual_resolution_time confidence_score ai_reasoning "
            "created_at updated_at"
        ),
        "recovery_explanations": (
            "id task_id workspace_id recovery_attempt_id failure_summary root_cause "
            "retry_decision confidence_explanation user_action_required "
            "estimated_resolution_time severity_level display_category technical_details "
            "error_pattern_matched failure_category recovery_strategy ai_analysis_used "
            "explanation_source generation_model generation_confidence failure_time "
            "explanation_generated_at created_at updated_at"
        ),
    },
    "scheduler": {
        "trigger_index": (
            "id workflow_id trigger_type trigger_subtype trigger_config index_key "
            "deployment_status is_active created_at updated_at"
        ),
        "workflow_deployment_history": (
            "id workflow_id deployment_action from_status to_status deployment_version "
            "deployment_config triggered_by started_at completed_at error_message "
            "deployment_logs"
        ),
    },
}
"""Columns by table and service, with spaces between."""

INDEXES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "engine": (
        ("workflows", "(tenant_id, user_id)"),
        ("workflows", "(tenant_id, active)"),
        ("workflows", "(tenant_id, deployment_status)"),
        ("workflows", "USING gin (tags)"),
        ("nodes", "(workflow_id, node_id)"),
        ("nodes", "(tenant_id, node_type)"),
        ("nodes", "(tenant_id, node_type, node_subtype, disabled)"),
        ("node_connections", "(workflow_id, workflow_version)"),
        ("workflow_executions", "(execution_id)"),
        ("workflow_executions", "(tenant_id, workflow_id, id DESC)"),
        ("workflow_executions", "(tenant_id, id DESC)"),
        ("node_executions", "(execution_id, node_id, scope, run)"),
        ("workflow_execution_logs", '(execution_id, "position")'),
        ("workflow_templates", "(tenant_id, document_type)"),
        ("workflow_templates", "(tenant_id, is_active)"),
        ("node_specifications", "(tenant_id, node_type, node_subtype)"),
        ("node_specifications", "(tenant_id, node_type, node_subtype) WHERE is_active"),
    ),
}
"""What must be found without reading a whole table; docs/adr/0018 says what is left out."""


@pytest.mark.parametrize("service", TABLES)
async def test_every_table_has_its_columns(service: str, database: str) -> None:
    await migrate.up(database, service)
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "select table_name, column_name from information_schema.columns"
            " where table_schema = $1",
            service,
        )
    finally:
        await connection.close()
    there: dict[str, set[str]] = {}
    for row in rows:
        there.setdefault(row["table_name"], set()).add(row["column_name"])
    missing = {
        table: sorted(set(columns.split()) - there.get(table, set()))
        for table, columns in TABLES[service].items()
    }
    assert {table: columns for table, columns in missing.items() if columns} == {}


@pytest.mark.parametrize("service", INDEXES)
async def test_what_is_often_asked_for_has_an_index(service: str, database: str) -> None:
    await migrate.up(database, service)
    connection = await asyncpg.connect(database)
    try:
        rows = await connection.fetch(
            "select tablename, indexdef from pg_indexes where schemaname = $1", service
        )
    finally:
        await connection.close()
    there = [(row["tablename"], row["indexdef"]) for row in rows]
    missing = [
        (table, rule)
        for table, rule in INDEXES[service]
        if not any(name == table and text.endswith(rule) for name, text in there)
    ]
    assert missing == []
