"""The data tables of each tenant: made with the tenant, filled by its pipelines."""

from collections.abc import Sequence

from libs.warehouse.schema import Column, Table, required

COSTS = "focus_costs"
LOADS = "focus_loads"
FINDINGS = "ocsf_compliance_findings"

FOCUS_VERSION = "1.4"
FOCUS = (
    Column("AllocatedMethodDetails", "STRING"),
    Column("AllocatedMethodId", "STRING"),
    Column("AllocatedResourceId", "STRING"),
    Column("AllocatedResourceName", "STRING"),
    Column("AllocatedTags", "STRING"),
    Column("AvailabilityZone", "STRING"),
    Column("BilledCost", "BIGNUMERIC"),
    Column("BillingAccountId", "STRING"),
    Column("BillingAccountName", "STRING"),
    Column("BillingAccountType", "STRING"),
    Column("BillingCurrency", "STRING"),
    Column("BillingPeriodEnd", "TIMESTAMP"),
    Column("BillingPeriodStart", "TIMESTAMP"),
    Column("CapacityReservationId", "STRING"),
    Column("CapacityReservationStatus", "STRING"),
    Column("ChargeCategory", "STRING"),
    Column("ChargeClass", "STRING"),
    Column("ChargeDescription", "STRING"),
    Column("ChargeFrequency", "STRING"),
    Column("ChargePeriodEnd", "TIMESTAMP"),
    Column("ChargePeriodStart", "TIMESTAMP"),
    Column("CommitmentDiscountCategory", "STRING"),
    Column("CommitmentDiscountId", "STRING"),
    Column("CommitmentDiscountName", "STRING"),
    Column("CommitmentDiscountQuantity", "BIGNUMERIC"),
    Column("CommitmentDiscountStatus", "STRING"),
    Column("CommitmentDiscountType", "STRING"),
    Column("CommitmentDiscountUnit", "STRING"),
    Column("CommitmentProgramEligibilityDetails", "STRING"),
    Column("ConsumedQuantity", "BIGNUMERIC"),
    Column("ConsumedUnit", "STRING"),
    Column("ContractApplied", "STRING"),
    Column("ContractedCost", "BIGNUMERIC"),
    Column("ContractedUnitPrice", "BIGNUMERIC"),
    Column("EffectiveCost", "BIGNUMERIC"),
    Column("HostProviderName", "STRING"),
    Column("InvoiceDetailId", "STRING"),
    Column("InvoiceId", "STRING"),
    Column("InvoiceIssuerName", "STRING"),
    Column("ListCost", "BIGNUMERIC"),
    Column("ListUnitPrice", "BIGNUMERIC"),
    Column("PricingCategory", "STRING"),
    Column("PricingCurrency", "STRING"),
    Column("PricingCurrencyContractedUnitPrice", "BIGNUMERIC"),
    Column("PricingCurrencyEffectiveCost", "BIGNUMERIC"),
    Column("PricingCurrencyListUnitPrice", "BIGNUMERIC"),
    Column("PricingQuantity", "BIGNUMERIC"),
    Column("PricingUnit", "STRING"),
    Column("RegionId", "STRING"),
    Column("RegionName", "STRING"),
    Column("ResourceId", "STRING"),
    Column("ResourceName", "STRING"),
    Column("ResourceType", "STRING"),
    Column("ServiceCategory", "STRING"),
    Column("ServiceName", "STRING"),
    Column("ServiceProviderName", "STRING"),
    Column("ServiceSubcategory", "STRING"),
    Column("SkuId", "STRING"),
    Column("SkuMeter", "STRING"),
    Column("SkuPriceDetails", "STRING"),
    Column("SkuPriceId", "STRING"),
    Column("SubAccountId", "STRING"),
    Column("SubAccountName", "STRING"),
    Column("SubAccountType", "STRING"),
    Column("Tags", "STRING"),
)
"""All columns of FOCUS Cost and Usage, in the order of its specification."""
FINDING = (
    Column("finding_uid", "STRING"),
    Column("title", "STRING"),
    Column("time", "TIMESTAMP"),
    Column("created_time", "TIMESTAMP"),
    Column("category_uid", "INT64"),
    Column("class_uid", "INT64"),
    Column("type_uid", "INT64"),
    Column("activity_id", "INT64"),
    Column("severity_id", "INT64"),
    Column("severity", "STRING"),
    Column("status_id", "INT64"),
    Column("compliance_status_id", "INT64"),
    Column("compliance_status", "STRING"),
    Column("control", "STRING"),
    Column("cloud_provider", "STRING"),
    Column("cloud_account_uid", "STRING"),
    Column("cloud_region", "STRING"),
    Column("resource_uid", "STRING"),
    Column("ocsf", "STRING", description="The event as OCSF writes it, JSON"),
    Column("x_load_id", "STRING"),
)


def data_tables(dataset: str) -> tuple[Table, ...]:
    """What every tenant has from its first day on, empty."""
    return costs_table(dataset), loads_table(dataset), findings_table(dataset)


def costs_table(dataset: str, name: str = COSTS, kept: Sequence[str] = ()) -> Table:
    """FOCUS, with native columns that are kept beside; a day's partition holds a period.

    Costs are asked for by when they were charged, which need not be in the period that bills
    them; so rows lie in that order within it, and what else a period holds is not read.
    """
    native = [Column(f"x_{column}", "STRING") for column in kept]
    own = (Column("x_provider", "STRING"), Column("x_load_id", "STRING"))
    return Table(
        dataset,
        name,
        (*FOCUS, *native, *own),
        partition_by="BillingPeriodStart",
        cluster_by=("ChargePeriodStart", "x_provider", "ServiceName"),
        description=f"FOCUS {FOCUS_VERSION} Cost and Usage",
    )


def loads_table(dataset: str) -> Table:
    """A row for each version of each billing period: what it held, and what the one before did."""
    return Table(
        dataset,
        LOADS,
        (
            required("load_id", "STRING"),
            required("provider", "STRING"),
            required("billing_account_id", "STRING"),
            required("billing_period", "DATE"),
            required("currency", "STRING"),
            required("version", "INT64"),
            required("row_count", "INT64"),
            required("billed_cost", "BIGNUMERIC"),
            required("effective_cost", "BIGNUMERIC"),
            Column("billed_before", "BIGNUMERIC"),
            Column("effective_before", "BIGNUMERIC"),
            required("period_closed", "BOOL", "Whether the period had ended when it was loaded"),
            required("mapping", "STRING"),
            required("source", "STRING"),
            required("loaded_at", "TIMESTAMP"),
        ),
        partition_by="loaded_at",
        cluster_by=("provider", "billing_period"),
        description="Every version of every billing period that was loaded",
    )


def findings_table(dataset: str, name: str = FINDINGS) -> Table:
    return Table(
        dataset,
        name,
        FINDING,
        partition_by="time",
        cluster_by=("cloud_provider", "finding_uid"),
        description="OCSF Compliance Findings (class 2003), the newest of each",
    )
