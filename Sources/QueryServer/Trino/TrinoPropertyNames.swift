// SPDX-License-Identifier: Apache-2.0
// What the optimizers and engines of Trino and Presto can be told.

extension TrinoProperty {
    /// Whether there is a property of this name: what means something here, and what scripts may set for Trino or Presto.
    static func isKnown(_ name: String) -> Bool {
        timeouts.contains(name) || name == timeZone || engines.contains(name)
            || name.hasPrefix("fault_tolerant_execution_")
    }

    /// Properties of Trino's and Presto's releases that have no effect here.
    private static let engines = Set(
        """
        adaptive_partial_aggregation_enabled adaptive_partial_aggregation_unique_rows_ratio_threshold
        aggregation_if_to_filter_rewrite_strategy aggregation_operator_unspill_memory_limit
        aggregation_partitioning_merging_strategy aggregation_spill_enabled allow_pushdown_into_connectors
        allow_window_order_by_literals check_access_control_on_utilized_columns_only check_access_control_with_subfields
        close_idle_writers_trigger_duration collect_plan_statistics_for_all_queries colocated_join
        complex_expression_pushdown concurrent_lifespans_per_task cost_estimation_worker_count
        dedup_based_distinct_aggregation_spill_enabled default_filter_factor_enabled
        determine_partition_count_for_write_enabled dictionary_aggregation
        distinct_aggregation_large_block_size_threshold distinct_aggregation_large_block_spill_enabled
        distinct_aggregation_spill_enabled distributed_index_join distributed_join distributed_sort
        distributed_tracing_mode do_not_use_legacy_map_subscript dynamic_filtering_max_per_driver_row_count
        dynamic_filtering_max_per_driver_size dynamic_filtering_range_row_limit_per_driver
        enable_coordinator_dynamic_filters_distribution enable_dynamic_filtering enable_forced_exchange_below_group_id
        enable_intermediate_aggregations enable_large_dynamic_filters enable_stats_calculator
        enable_stats_collection_for_temporary_table enforce_fixed_distribution_for_output_operator
        exceeded_memory_limit_heap_dump_file_directory exchange_checksum exchange_compression exchange_compression_codec
        exchange_materialization_strategy execution_policy experimental_functions_enabled exploit_constraints
        fast_inequality_joins filter_and_project_min_output_page_row_count filter_and_project_min_output_page_size
        filter_conjunction_independence_factor force_single_node_output force_spilling_join
        fragment_result_caching_enabled grouped_execution hash_partition_count
        heap_dump_on_exceeded_memory_limit_enabled hide_inaccessible_columns idle_writer_min_data_size_threshold
        ignore_downstream_preferences ignore_stats_calculator_failures incremental_hash_array_load_factor_enabled
        index_loader_timeout initial_splits_per_node inline_sql_functions iterative_optimizer_enabled
        iterative_optimizer_timeout join_distribution_type join_max_broadcast_table_size
        join_multi_clause_independence_factor join_partitioned_build_min_row_count join_reordering_strategy
        join_spill_enabled legacy_catalog_roles legacy_row_field_ordinal_access legacy_timestamp
        legacy_type_coercion_warning_enabled legacy_unnest list_built_in_functions_only log_formatted_query_enabled
        mark_distinct_strategy materialized_view_data_consistency_enabled max_concurrent_materializations
        max_drivers_per_task max_failed_task_percentage max_grouping_sets max_hash_partition_count
        max_memory_per_partition_writer max_partial_top_n_memory max_recursion_depth max_reordered_joins
        max_stage_retries max_tasks_per_stage max_tasks_waiting_for_execution_per_query
        max_tasks_waiting_for_node_per_stage max_unacknowledged_splits_per_task max_writer_task_count
        merge_project_with_values min_hash_partition_count min_hash_partition_count_for_write min_input_rows_per_task
        min_input_size_per_task non_estimatable_predicate_approximation_enabled offset_clause_enabled
        omit_datetime_type_precision optimize_case_expression_predicate optimize_common_sub_expressions
        optimize_constant_grouping_keys optimize_duplicate_insensitive_joins optimize_hash_generation
        optimize_joins_with_empty_sources optimize_metadata_queries optimize_metadata_queries_call_threshold
        optimize_metadata_queries_ignore_stats optimize_mixed_distinct_aggregations optimize_nulls_in_join
        optimize_top_n_ranking optimize_top_n_row_number optimized_repartitioning optimized_scale_writer_producer_buffer
        order_by_aggregation_spill_enabled order_by_spill_enabled page_partitioning_buffer_pool_size
        parse_decimal_literals_as_double partial_aggregation_byte_reduction_threshold partial_aggregation_strategy
        partial_merge_pushdown_strategy partial_results_completion_ratio_threshold partial_results_enabled
        partial_results_max_execution_time_multiplier partitioning_precision_strategy partitioning_provider_catalog
        plan_with_table_node_partitioning pre_aggregate_case_aggregations_enabled
        predicate_pushdown_use_table_properties prefer_distributed_union prefer_partial_aggregation
        prefer_streaming_operators print_stats_for_non_join_query push_aggregation_through_join
        push_aggregation_through_outer_join push_limit_through_outer_join push_partial_aggregation_through_join
        push_table_write_through_union pushdown_dereference_enabled pushdown_subfields_enabled query_analyzer_timeout
        query_max_broadcast_memory query_max_cpu_time query_max_memory query_max_memory_per_node
        query_max_output_positions query_max_output_size query_max_planning_time query_max_revocable_memory_per_node
        query_max_scan_physical_bytes query_max_scan_raw_input_bytes query_max_stage_count query_max_total_memory
        query_max_total_memory_per_node query_optimization_with_materialized_view_enabled query_priority
        query_retry_attempts query_retry_limit query_retry_max_execution_time recoverable_grouped_execution
        redistribute_writes remote_functions_enabled remote_task_adaptive_update_request_size_enabled
        remote_task_guaranteed_splits_per_request remote_task_max_request_size remote_task_request_size_headroom
        reorder_joins required_workers_count required_workers_max_wait_time resource_aware_scheduling_strategy
        resource_overcommit retry_delay_scale_factor retry_initial_delay retry_max_delay retry_policy
        rewrite_filtering_semi_join_to_inner_join runtime_optimizer_enabled scale_writers
        size_based_join_distribution_type skewed_partition_min_data_processed_rebalance_threshold skip_redundant_sort
        spatial_join spatial_partitioning_table_name spill_enabled split_concurrency_adjustment_interval
        spooling_output_buffer_enabled statistics_cpu_timer_enabled statistics_precalculation_for_pushdown_enabled
        table_scan_node_partitioning_min_bucket_to_task_ratio table_writer_merge_operator_enabled target_result_size
        task_concurrency task_max_writer_count task_min_writer_count task_partitioned_writer_count
        task_retry_attempts_per_task task_scale_writers_enabled task_share_index_loading task_writer_count
        temp_storage_spiller_buffer_size use_cost_based_partitioning use_exact_partitioning use_legacy_scheduler
        use_legacy_window_filter_pushdown use_mark_distinct use_partial_distinct_limit use_partial_topn
        use_preferred_write_partitioning use_stream_exchange_for_mark_distinct use_table_scan_node_partitioning
        verbose_exceeded_memory_limit_errors_enabled verbose_runtime_stats_enabled warning_handling window_spill_enabled
        writer_min_size writer_scaling_min_data_processed
        """.split { $0 == " " || $0 == "\n" }.map(String.init))
}
